"""What is the user's stays with the run around it; and old checkpoints stay where it is not known whether models need them."""

from __future__ import annotations

import json

import pytest

from tests.helpers.runs.old_storage import OLD, age, end, going, plan


def test_a_run_stays_that_holds_a_file_of_the_users_at_any_depth(quiet):
    end(quiet / "few", "FAILED")
    for mine in (
        "checkpoints/mine.pt", "pictures/notes.md", "ray/train-1/notes.md", "labels/mine/part-000000.parquet",
        "journal/notes.jsonl", "evaluation/mine.csv", "working-copy/mine.parquet", "checkpoints/.hidden", "deep/er/mine",
    ):  # fmt: skip
        (quiet / "few" / mine).parent.mkdir(parents=True, exist_ok=True)
        (quiet / "few" / mine).write_bytes(b"mine")
        age(quiet)
        found = plan(quiet, failed=True, unfinished=True)
        assert going(found) == set()
        assert f"few stays: it failed, and holds what is not of a run: {mine}" in found.notes
        (quiet / "few" / mine).unlink()


def test_a_run_stays_that_holds_a_link(quiet):
    end(quiet / "few", "FAILED")
    (quiet / "few" / "pictures").symlink_to(quiet.parent / "data")
    found = plan(quiet, failed=True)
    assert going(found) == set()
    assert "few stays: it failed, and holds what is not of a run: pictures" in found.notes


def test_a_run_goes_with_all_that_it_writes_itself(quiet):
    end(quiet / "few", "FAILED")
    names = [
        "initial.safetensors", "start.parquet", "parents.parquet", "journal.partial", "journal/000000.jsonl",
        "pictures/curves-0001.png", "ray/train-17/.validate_storage_marker", "evaluation/journal.jsonl",
        "evaluation/classes-test.csv", "images/train/part-00000.parquet", "labels/part-000000.parquet",
        "checkpoints/step-000000014-1.pt", f"checkpoints/{OLD}.{'0' * 32}.partial",
    ]  # fmt: skip
    for name in names:
        (quiet / "few" / name).parent.mkdir(parents=True, exist_ok=True)
        (quiet / "few" / name).write_bytes(b"1")
    age(quiet)
    assert going(plan(quiet, failed=True)) == {("run", "few")}


@pytest.mark.parametrize(("folder", "goes"), [("/nowhere/else", False), ("{here}", True), ("{here}/lost", True)])
def test_without_the_file_of_its_store_old_checkpoints_go_only_where_the_store_was_here(outputs, folder, goes):
    (outputs / "mlflow.db").unlink()
    uri = f"sqlite:///{folder.format(here=outputs)}/mlflow.db"
    for run in ("coke", "clusters"):
        file = outputs / run / "run.json"
        content = json.loads(file.read_text())
        content["mlflow"]["uri"] = uri
        file.write_text(json.dumps(content))
    found = plan(outputs)
    assert (("old checkpoint", f"coke/checkpoints/{OLD}") in going(found)) is goes
    said = f"coke stays: MLflow at {uri}, which may have models of old checkpoints, is not here or does not answer"
    assert (said in found.notes) is not goes
