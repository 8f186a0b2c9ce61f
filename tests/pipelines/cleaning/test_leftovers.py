"""What looks like something that killed work left, and is the user's."""

from __future__ import annotations

import shutil

import pytest

from pipelines.files.documents import write_document
from pipelines.files.location import Location
from tests.helpers.runs.old_storage import age, going, plan

MARK = ".validate_storage_marker"
TRIAL = "run_trial_02dbe_00000_0_trial=point_seed_0_2026-11-26_20-28-59"


def lay(storage, *names: str) -> None:
    for name in names:
        (storage / name).parent.mkdir(parents=True, exist_ok=True)
        (storage / name).write_bytes(b"1")
    age(storage)


def test_folders_of_ray_have_its_mark_and_nothing_that_it_does_not_write(quiet):
    shutil.copytree(quiet / "coke", quiet / "small" / "tune-2")
    lay(
        quiet, f"small/tune-2/{MARK}", f"small/tune-3/{MARK}", "small/tune-3/mine.csv", "small/tune-4/tuner.pkl",
        f"coke/ray/train-1/{MARK}", "coke/ray/train-1/deep/mine.csv", "coke/ray/train-2/mine.csv",
        f"small/tune-5/{MARK}", "small/tune-5/tuner.pkl", "small/tune-5/experiment_state-2026-11-26_20-28-59.json",
        "small/tune-5/basic-variant-state-2026-11-26_20-28-59.json", f"small/tune-5/{TRIAL}/result.json",
        f"coke/ray/train-3/{MARK}",
    )  # fmt: skip
    found = plan(quiet)
    assert going(found) == {("files of Ray", "small/tune-5"), ("files of Ray", "coke/ray/train-3")}
    said = "stays: it has the name of a folder of Ray's, and"
    for folder, why in (
        ("small/tune-2", "holds checkpoints/index.json"), ("small/tune-3", "holds mine.csv"), ("small/tune-4", f"has no {MARK}"),
        ("coke/ray/train-1", "holds deep/mine.csv"), ("coke/ray/train-2", "holds mine.csv"),
    ):  # fmt: skip
        assert f"{folder} {said} {why}" in found.notes


@pytest.mark.parametrize(
    ("planned", "names", "strange"),
    [
        ({"model": "0"}, ["labels/part-000000.parquet", "sizes.parquet"], None),
        ({"model": "0"}, ["labels/part-000000.parquet", "mine.parquet"], "mine.parquet"),
        ({"model": "0"}, ["labels/mine.parquet"], "labels/mine.parquet"),
        ({"columns": []}, ["anything.parquet"], None),
        ({"columns": []}, ["mine/part-000000.parquet"], "mine/part-000000.parquet"),
        ({"columns": []}, ["mine.csv"], "mine.csv"),
    ],
)
def test_a_begun_folder_goes_with_names_that_assign_and_join_give_and_no_others(tmp_path, planned, names, strange):
    lay(tmp_path / "outputs", *(f"begun/{name}" for name in names))
    write_document(Location.of(tmp_path / "outputs" / "begun" / "_begun.json"), planned, 1)
    lay(tmp_path / "outputs", f"begun/{names[0]}.{'0' * 32}.partial")  # goes with the folder, or alone
    found = plan(tmp_path / "outputs", unfinished=True)
    if strange is None:
        assert going(found) == {("begun folder", "begun")}
    else:
        assert ("begun folder", "begun") not in going(found)
        assert f"begun stays: it was begun, and holds what it did not write, such as {strange}" in found.notes


def test_a_working_copy_and_exchanged_rows_stay_that_hold_a_file_of_the_users(quiet):
    lay(
        quiet, "clusters/working-copy/_embeddings.json", "clusters/working-copy/part-000000.parquet",
        "clusters/working-copy/mine.csv",
        "twins/_exchange/part-00000000.arrows", "twins/_exchange/part-00000000.arrows.mine",
    )  # fmt: skip
    found = plan(quiet)
    assert going(found) == set()
    assert "clusters stays: its working copy holds mine.csv, which is not of it" in found.notes
