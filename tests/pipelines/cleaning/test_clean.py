"""What goes from a storage and what stays: runs of version 0.1, changed as deaths and wishes leave them; on a disk and on S3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cleaning.clean import carry_out
from pipelines.config.recipe import stored_text
from pipelines.errors import UserError
from pipelines.files.documents import write_document
from pipelines.files.location import Location
from pipelines.runs.trained_model import Trained
from pipelines.tracking.journal import Journal
from tests.helpers.machines.needs import needs_mounts
from tests.helpers.places import ROOT
from tests.helpers.runs.old_storage import OLD, age, end, going, named, plan

OLD_ONES = {("old checkpoint", f"coke/checkpoints/{OLD}"), ("old checkpoint", "clusters/checkpoints/step-000000025.pt")}


def test_runs_of_version_0_1_give_their_old_checkpoints_and_nothing_else(outputs):
    before = {path: path.read_bytes() for path in outputs.rglob("*") if path.is_file() and "mlflow.db" not in path.name}
    found = plan(outputs)
    assert going(found) == OLD_ONES
    assert sum(one.bytes for one in found.waste) == sum((outputs / one.path).stat().st_size for one in found.waste)
    assert {path: path.read_bytes() for path in before} == before
    deleted, left = carry_out(found)
    assert (len(deleted), left) == (2, [])
    now = {path for path in outputs.rglob("*") if path.is_file() and "mlflow.db" not in path.name}
    assert before.keys() - now == {outputs / path for _, path in OLD_ONES}
    assert {path for path in now if path.read_bytes() != before[path]} == {
        outputs / run / "checkpoints" / "index.json" for run in ("coke", "clusters")
    }
    assert plan(outputs).waste == []
    assert [Trained.open(str(outputs / run)).entry.global_step for run in ("coke", "few")] == [36, 30]


def test_a_checkpoint_stays_that_another_run_starts_from(outputs):
    named(outputs / "few", f"{outputs}/coke/checkpoints/{OLD}")
    assert going(plan(outputs)) == OLD_ONES - {("old checkpoint", f"coke/checkpoints/{OLD}")}


def test_a_checkpoint_stays_that_a_model_in_mlflow_was_made_of(outputs):
    from mlflow.tracking import MlflowClient

    from pipelines.runs.run_folder import Run

    address = Run.open(str(outputs / "coke")).address
    client = MlflowClient(address.uri)
    client.create_logged_model(address.experiment_id, "early", address.run_id, {"quorum.checkpoint": OLD})
    assert going(plan(outputs)) == OLD_ONES - {("old checkpoint", f"coke/checkpoints/{OLD}")}


def test_where_mlflow_does_not_answer_old_checkpoints_stay_and_it_is_said(outputs):
    file = outputs / "coke" / "run.json"
    content = json.loads(file.read_text())
    content["mlflow"]["uri"] = "http://127.0.0.1:9"
    file.write_text(json.dumps(content))
    found = plan(outputs)
    assert going(found) == OLD_ONES - {("old checkpoint", f"coke/checkpoints/{OLD}")}
    assert any(note.startswith("coke stays: MLflow at http://127.0.0.1:9") and "does not answer" in note for note in found.notes)


@needs_mounts
def test_what_a_disk_does_not_let_go_stays_and_the_rest_goes(tmp_path):
    names = [f"{folder}/shard.parquet.{'0' * 32}.partial" for folder in ("locked", "ours")]
    for name in names:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    code = f"""
from pipelines.cleaning.clean import carry_out, plan_cleaning
deleted, left = carry_out(plan_cleaning({str(tmp_path)!r}, failed=False, unfinished=False, idle_seconds=0))
print([one.path for one in deleted], left, sep="\\n")
"""
    locked = tmp_path / "locked"
    script = f'mount --bind {locked} {locked} && mount -o remount,ro,bind {locked} && exec {sys.executable} -c "$0"'
    said = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert (tmp_path / names[0]).exists()
    assert not (tmp_path / names[1]).exists()
    assert "stays: Cannot delete file" in said
    assert "Read-only file system" in said


@pytest.mark.job
@needs_mounts
def test_a_run_of_which_something_could_not_go_is_still_found_as_one(outputs):
    run = outputs / "coke"
    end(run, "FAILED")
    code = f"""
from pipelines.cleaning.clean import carry_out, plan_cleaning
print(carry_out(plan_cleaning({str(outputs)!r}, failed=True, unfinished=False, idle_seconds=0))[1])
"""
    script = f'mount --bind {run}/checkpoints {run}/checkpoints && exec {sys.executable} -c "$0"'  # which is busy, then
    said = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "coke stays: " in said
    assert {path.name for path in run.iterdir()} >= {"checkpoints", "config.yaml", "journal.jsonl", "run.json"}
    again = plan(outputs, failed=True)
    assert ("run", "coke") in going(again)
    carry_out(again)
    assert not run.exists()


@pytest.mark.parametrize(
    ("status", "wish", "said"),
    [
        ("FAILED", {"failed": True}, "coke stays: it failed; --failed lets such runs go"),
        ("KILLED", {"unfinished": True}, "coke stays: it was stopped; --unfinished lets such runs go"),
        (None, {"unfinished": True}, "coke stays: it never ended; --unfinished lets such runs go"),
    ],
)
def test_a_run_without_a_result_goes_only_where_that_is_wished(outputs, status, wish, said):
    end(outputs / "coke", status)
    assert said in plan(outputs).notes
    other = {"failed": "unfinished", "unfinished": "failed"}[next(iter(wish))]
    assert ("run", "coke") not in going(plan(outputs, **{other: True}))
    found = plan(outputs, **wish)
    assert going(found) == {("run", "coke"), ("old checkpoint", "clusters/checkpoints/step-000000025.pt")}
    carry_out(found)
    assert {path.name for path in outputs.iterdir()} >= {"few", "clusters", "small", "mlflow.db"}
    assert not (outputs / "coke").exists()


@pytest.mark.parametrize("why", ["young", "held", "sweep"])
def test_a_run_that_may_be_at_work_keeps_everything(outputs, why):
    run = outputs / ("small/ratio=0.0-seed=0-e839b8" if why == "sweep" else "coke")
    if why == "sweep":  # its sweep may go on with it, whatever it says itself
        end(outputs / "small", None)
        os.utime(outputs / "small" / "journal.jsonl")
    else:
        end(run, None)
    if why == "young":
        os.utime(run / "checkpoints" / OLD)
    held = Journal(run) if why == "held" else None
    age(run / "journal.jsonl") if held else None
    found = plan(outputs, failed=True, unfinished=True)
    assert not any(path.startswith(str(run.relative_to(outputs))) for _, path in going(found))
    assert f"{run.relative_to(outputs)} stays: it may be at work" in found.notes
    if held:
        held.close()
        assert ("run", "coke") in going(plan(outputs, unfinished=True))


def test_a_run_that_goes_on_after_the_plan_was_made_is_left_alone(outputs):
    end(outputs / "coke", "FAILED")
    found = plan(outputs, failed=True)
    with (outputs / "coke" / "journal.jsonl").open("a") as journal:
        journal.write('{"kind": "status", "status": "RUNNING", "time": 3}\n')
    deleted, left = carry_out(found)
    assert left == ["coke stays: it has begun to work"]
    assert [one.path for one in deleted] == ["clusters/checkpoints/step-000000025.pt"]
    assert (outputs / "coke" / "run.json").exists()


def test_a_failed_run_stays_that_holds_a_users_file_another_run_or_is_named_or_a_trial(outputs):
    for run in ("coke", "few", "clusters", "small/ratio=0.4-seed=0-3e6aff"):
        end(outputs / run, "FAILED")
    (outputs / "coke" / "backbone.safetensors").write_bytes(b"mine")
    named(outputs / "coke", f"{outputs}/few")
    shutil.copytree(outputs / "coke", outputs / "clusters" / "evaluation" / "inner")
    found = plan(outputs, failed=True)
    assert {kind for kind, _ in going(found)} == {"old checkpoint"}
    assert any(note == "coke stays: it failed, and holds what is not of a run: backbone.safetensors" for note in found.notes)
    assert "few stays: it failed, and another run starts from it" in found.notes
    assert "clusters stays: it failed, and another run lies in it (clusters/evaluation/inner)" in found.notes
    assert "small/ratio=0.4-seed=0-3e6aff stays: it failed, and is a trial that its sweep counts" in found.notes


def test_a_checkpoint_that_no_index_names_stays_while_it_is_young_or_another_run_starts_from_it(outputs):
    young, named_one, lost = (outputs / f"coke/checkpoints/step-0000000{step}.pt" for step in (20, 21, 22))
    for file in (young, named_one, lost):
        file.write_bytes(b"1234")
    for file in (named_one, lost):
        os.utime(file, (0, 0))
    named(outputs / "few", str(named_one))
    unlisted = {path for kind, path in going(plan(outputs)) if kind == "unlisted checkpoint"}
    assert unlisted == {"coke/checkpoints/step-000000022.pt"}


def test_what_killed_work_left_goes_and_what_looks_alike_stays(outputs):
    left = {
        ("cut-off write", f"coke/config.yaml.{'0' * 32}.partial"),
        ("unlisted checkpoint", "coke/checkpoints/step-000000020.pt"),
        ("files of Ray", "coke/ray/train-17"),
        ("files of Ray", "small/tune-17"),
        ("working copy", "clusters/working-copy"),
        ("exchanged rows", "twins/_exchange"),
        ("doctor's file", ".quorum-doctor-0123456789ab"),
    }
    for kind, path in left:
        place = outputs / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind in ("files of Ray", "exchanged rows", "working copy"):
            place.mkdir()
        inner = {
            "files of Ray": ".validate_storage_marker",
            "exchanged rows": "part-00000000.arrows",
            "working copy": "_embeddings.json",
        }
        (place / inner[kind] if kind in inner else place).write_bytes(b"1234")
    alike = [
        "notes.partial",
        "coke/checkpoints/mine.pt",
        "coke/ray/mine.txt",
        "mine/_exchange/part-00000000.arrows",
        "mine/a.csv",
    ]
    for path in [*alike, "few/working-copy/_embeddings.json"]:  # only a clustering has such a copy
        (outputs / path).parent.mkdir(parents=True, exist_ok=True)
        (outputs / path).write_bytes(b"12345")
    young = outputs / f"young.{'1' * 32}.partial"
    age(outputs)
    young.write_bytes(b"1")
    found = plan(outputs)
    assert going(found) == left | OLD_ONES
    assert {one.bytes for one in found.waste if str(one.kind) != "old checkpoint"} == {4}
    carry_out(found)
    assert all((outputs / path).exists() for path in alike)
    assert young.exists()
    assert not any((outputs / path).exists() for _, path in left)


def test_a_working_copy_that_is_wished_or_needed_for_going_on_stays(outputs):
    copy = outputs / "clusters" / "working-copy"
    copy.mkdir()
    (copy / "_embeddings.json").write_text("{}")
    config = outputs / "clusters" / "config.yaml"
    config.write_text(f"{config.read_text()}\nkeep_copy: true\n")
    age(outputs)
    found = plan(outputs)
    assert "clusters stays: its working copy is wished" in found.notes
    end(outputs / "clusters", None)
    assert not any("working" in kind for kind, _ in going(plan(outputs)))


def test_a_folder_that_was_begun_goes_only_where_that_is_wished(outputs):
    begun = outputs / "assigned"
    begun.mkdir()
    write_document(Location.of(begun) / "_begun.json", {"rows": 3}, 1)
    (begun / "part-000000.parquet").write_bytes(b"12")
    age(outputs)
    assert "assigned stays: it was begun and never finished; --unfinished lets it go" in plan(outputs).notes
    assert ("begun folder", "assigned") in going(plan(outputs, unfinished=True))
    (begun / "mine.csv").write_bytes(b"1")
    age(outputs)
    assert ("begun folder", "assigned") not in going(plan(outputs, unfinished=True))


def test_a_folder_that_was_to_become_a_run_goes_only_where_that_is_wished(outputs):
    killed, theirs = outputs / "killed", outputs / "theirs"
    for folder in (killed, theirs):
        folder.mkdir()
        (folder / "config.yaml").write_bytes(stored_text({"epochs": 3}))
    (killed / "at_work.json").write_text("{}")
    age(outputs)
    assert "killed stays: it was to become a run; --unfinished lets it go" in plan(outputs).notes
    found = going(plan(outputs, unfinished=True))
    assert ("begun folder", "killed") in found
    assert not any("theirs" in path for _, path in found)


@pytest.mark.parametrize("damage", ["run.json", "config.yaml", "checkpoints/index.json"])
def test_a_run_that_cannot_be_read_stays_and_is_named(outputs, damage):
    (outputs / "coke" / damage).write_bytes(b"{")
    end(outputs / "coke", "FAILED") if damage == "checkpoints/index.json" else age(outputs)
    found = plan(outputs, failed=damage != "checkpoints/index.json", unfinished=True)
    assert not any(path.startswith("coke") for _, path in going(found))
    assert any(note.startswith("coke stays: ") for note in found.notes)


@pytest.mark.parametrize("place", ["folder", "link to nothing", "link to itself"])
@pytest.mark.parametrize("file", ["journal.jsonl", "checkpoints/index.json", "run.json", "config.yaml"])
def test_what_is_in_the_place_of_a_runs_file_is_the_damage_of_that_run_alone(outputs, file, place):
    path = outputs / "coke" / file
    path.unlink()
    path.mkdir() if place == "folder" else path.symlink_to("nowhere" if place == "link to nothing" else path.name)
    found = plan(outputs)
    others = {one for one in OLD_ONES if one[1].startswith("clusters")}
    assert going(found) == (set() if file == "config.yaml" else others)  # it may name any checkpoint
    assert any(note.startswith("coke stays: ") for note in found.notes)


def test_trials_stay_those_of_a_sweep_also_when_its_file_is_damaged(quiet):
    trial = next((quiet / "small").glob("ratio*"))
    (quiet / "small" / "sweep.json").unlink()
    (quiet / "small" / "sweep.json").symlink_to("nowhere")
    end(trial, "FAILED")
    assert f"small/{trial.name} stays: it failed, and is a trial that its sweep counts" in plan(quiet, failed=True).notes


def test_an_index_that_is_damaged_after_the_plan_was_made_keeps_its_checkpoints(outputs):
    found = plan(outputs)
    (outputs / "coke" / "checkpoints" / "index.json").write_bytes(b"{")
    deleted, left = carry_out(found)
    assert [one.path for one in deleted] == ["clusters/checkpoints/step-000000025.pt"]
    assert [text.partition(":")[0] for text in left] == ["coke/checkpoints stays"]


def test_one_run_alone_may_be_given(outputs):
    assert going(plan(outputs / "coke")) == {("old checkpoint", f"checkpoints/{OLD}")}
    carry_out(plan(outputs / "coke"))
    assert not (outputs / "coke" / "checkpoints" / OLD).exists()


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder; give the storage of runs"):
        plan(tmp_path / "nowhere")


@pytest.mark.job
def test_a_storage_on_s3_is_cleaned_as_one_on_a_disk(outputs, monkeypatch):
    pytest.importorskip("moto", reason="needs the S3 server of the dev extra")
    from tests.helpers.machines.s3 import BUCKET, KEYS, serving

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    end(outputs / "few", "FAILED")
    end(outputs / "small", None)
    (outputs / "coke" / "checkpoints" / "step-000000020.pt").write_bytes(b"1234")
    with serving() as server:
        client = server.client()
        for path in outputs.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), BUCKET, f"cleaned/{path.relative_to(outputs)}")
        monkeypatch.chdir(outputs.parent)
        there = {path for path in Path().rglob("*") if "mlflow" not in path.name}
        expected = {*OLD_ONES, ("run", "few"), ("unlisted checkpoint", "coke/checkpoints/step-000000020.pt")}
        found = plan(server.uri("cleaned"), failed=True, idle=-1.0)
        assert going(found) == expected
        assert {path for path in Path().rglob("*") if "mlflow" not in path.name} == there  # nothing is copied here
        assert "few stays: it failed; --failed lets such runs go" in plan(server.uri("cleaned")).notes
        carry_out(found)
        keys = {item["Key"] for item in client.list_objects_v2(Bucket=BUCKET, Prefix="cleaned/")["Contents"]}
        assert not any(key.startswith("cleaned/few/") or "step-000000020" in key or OLD in key for key in keys)
        assert "cleaned/coke/checkpoints/step-000000036.pt" in keys
        assert going(plan(server.uri("cleaned"), idle=-1.0)) == set()


def test_what_has_changed_since_the_plan_was_made_stays_and_what_has_gone_is_said(quiet):
    for run in ("coke", "few"):
        end(quiet / run, "FAILED")
    for name in ("assigned", "joined"):
        (quiet / name).mkdir()
        write_document(Location.of(quiet / name) / "_begun.json", {"rows": 3}, 1)
    age(quiet)
    found = plan(quiet, failed=True, unfinished=True)
    (quiet / "coke" / "notes.md").write_text("mine")
    shutil.rmtree(quiet / "few")
    (quiet / "assigned" / "part-000000.parquet").write_bytes(b"12")
    deleted, left = carry_out(found)
    assert [one.path for one in deleted] == ["joined"]
    assert sorted(left) == ["assigned stays: it has changed", "coke stays: it has changed", "few has gone already"]
    assert (quiet / "coke" / "notes.md").exists()
    assert (quiet / "assigned" / "part-000000.parquet").exists()
