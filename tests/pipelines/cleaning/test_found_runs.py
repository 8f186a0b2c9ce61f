"""How runs ended: told by their journals, where those can be believed."""

from __future__ import annotations

import os
import threading
import time

import pyarrow.fs as pafs
import pytest

from pipelines.cleaning import found_runs
from pipelines.cleaning.clean import carry_out
from pipelines.cleaning.found_runs import State, _last_change, state_now
from pipelines.files.location import Location
from pipelines.tracking.local_copy import local_folder
from tests.helpers.runs.old_storage import DAY, end, going, plan


def test_a_remote_run_whose_files_are_newer_than_its_journals_copy_may_be_at_work(quiet, monkeypatch):
    pytest.importorskip("moto", reason="needs the S3 server of the dev extra")
    from tests.helpers.machines.s3 import BUCKET, KEYS, serving

    monkeypatch.setattr(found_runs, "COPY_SECONDS", 0.0)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    for run in ("coke", "few"):
        end(quiet / run, "FAILED")
    with serving() as server:
        client = server.client()
        for run in ("coke", "few"):
            for path in (path for path in (quiet / run).rglob("*") if path.is_file()):
                client.upload_file(str(path), BUCKET, f"gone-on/{path.relative_to(quiet)}")
            client.upload_file(str(quiet / run / "journal.jsonl"), BUCKET, f"gone-on/{run}/journal.jsonl")
        before = plan(server.uri("gone-on"), failed=True)
        assert going(before) == {("run", "coke"), ("run", "few")}
        time.sleep(1.1)  # S3 tells whole seconds
        client.put_object(Bucket=BUCKET, Key="gone-on/coke/checkpoints/step-000000040.pt", Body=b"1234")
        client.put_object(Bucket=BUCKET, Key="gone-on/few/evaluation/classes-test.csv", Body=b"1234")  # that is no work
        found = plan(server.uri("gone-on"), failed=True)
        assert going(found) == {("run", "few")}
        assert "coke stays: it may be at work" in found.notes
        assert carry_out(before)[1] == ["coke stays: it has begun to work", "few stays: it has changed"]


@pytest.mark.parametrize("damage", ["missing", "last line", "in between"])
def test_a_run_whose_journal_lacks_a_line_does_not_count_as_one_that_never_ended(quiet, damage):
    end(quiet / "few", None)
    assert ("run", "few") in going(plan(quiet, unfinished=True))
    journal = quiet / "few" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"kind": "status", "sta\n' if damage == "last line" else b"%\n" + whole)
    if damage == "missing":
        journal.unlink()
    os.utime(journal.parent, (1, 1))
    found = plan(quiet, failed=True, unfinished=True, idle=-1.0)
    assert going(found) == set()
    assert "few stays: it does not say for certain how it ended" in found.notes


def test_a_run_stays_whose_newest_checkpoint_is_of_its_end(quiet):
    for run, key in (("few", "epochs: 3"), ("clusters", "passes: 2")):
        end(quiet / run, None)
        config = quiet / run / "config.yaml"
        config.write_text(config.read_text().replace(f"{key[:-1]}9", key))
    (quiet / "clusters" / "clusters.json").unlink()
    found = plan(quiet, unfinished=True, idle=-1.0)
    assert going(found) == set()
    assert "few stays: it never ended, and its checkpoint step-000000030.pt is of its end" in found.notes
    assert "clusters stays: it never ended, and its checkpoint step-000000050.pt is of its end" in found.notes


def test_a_trial_is_at_work_while_its_sweep_is_also_when_it_is_looked_at_alone(quiet):
    trial = next((quiet / "small").glob("ratio*"))
    end(trial, "FAILED")
    assert state_now(Location.of(trial), DAY) is State.FAILED
    (trial / "checkpoints" / "step-000000020.pt").write_bytes(b"1234")
    end(trial, "FAILED")
    before = plan(trial)
    assert going(before) == {("unlisted checkpoint", "checkpoints/step-000000020.pt")}
    end(quiet / "small", None)
    os.utime(quiet / "small" / "journal.jsonl")
    assert state_now(Location.of(trial), DAY) is State.AT_WORK
    assert going(plan(trial)) == set()
    assert carry_out(before) == ([], ["the run stays: it has begun to work"])


def test_a_file_of_the_local_journal_that_is_just_replaced_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Location(pafs.S3FileSystem(region="us-east-1", anonymous=True), "bucket/run")
    folder = local_folder(place)
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(b"1")
    os.utime(folder / "journal.jsonl", (7, 7))
    done = threading.Event()

    def replace() -> None:
        while not done.is_set():
            (folder / "journal.partial").write_bytes(b"1")
            (folder / "journal.partial").unlink()

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        assert min(_last_change(place, {"config.yaml": 3.0}) for _ in range(2000)) >= 7
    finally:
        done.set()
        writer.join()
