"""Which split a name stands for, and which splits a source has in the end."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.source import Listing, Sample
from pipelines.ingest.sources.splits import by_names, settled, split_of_file, split_of_folder

ROOT = Location.of("/x")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training_Set", "train"), ("trainset", "train"), ("TRN", "train"), ("train2017", "train"),
        ("valid", "val"), ("Validation data", "val"), ("dev", "val"), ("test-images", "test"), ("TestSet", "test"),
        ("partial-train", "train"), ("partial-validation", "val"),
        ("test tube", None), ("bullet train", None), ("trains", None), ("vale", None), ("images", None), ("train_val", None),
    ],
)  # fmt: skip
def test_a_folder_is_a_split_by_all_of_its_name(name, split):
    assert split_of_folder(name) == split


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00294.parquet", "train"), ("data/validation-1.parquet", "val"), ("default/test/0000.parquet", "test"),
        ("imagenet-train-000001.tar", "train"), ("000001.tar", None), ("restrain/0.tar", None),
    ],
)  # fmt: skip
def test_a_file_is_of_a_split_by_its_folders_or_a_word_of_its_name(path, split):
    assert split_of_file(path) == split


def test_files_of_other_names_are_left_out_beside_files_to_train_on_and_are_these_otherwise():
    assert by_names(["train-0.tar", "0.tar"]) == ({"train-0.tar": "train"}, [("0.tar", "beside train/, in no split")])
    assert by_names(["0.tar", "test-0.tar"]) == ({"0.tar": "train", "test-0.tar": "test"}, [])


def settle(*samples: tuple[int | None, str]) -> Listing:
    listed = [Sample(f"{place}", label, split) for place, (label, split) in enumerate(samples)]
    return settled(listed, ROOT, Listing([], ["a"]))


def test_a_val_alone_is_the_test_split_and_one_beside_a_test_stays():
    assert [sample.split for sample in settle((0, "train"), (0, "val")).samples] == ["train", "test"]
    assert [sample.split for sample in settle((0, "train"), (0, "val"), (0, "test")).samples] == ["train", "val", "test"]


def test_a_test_without_labels_is_left_out_and_val_takes_its_place():
    listing = settle((0, "train"), (0, "val"), (None, "test"))
    assert [sample.split for sample in listing.samples] == ["train", "test"]
    assert listing.left_out == [("2", "in a test split without labels")]
    assert listing.val_is_test


def test_what_has_no_label_is_left_out_of_a_split_that_is_scored_on():
    listing = settle((0, "train"), (None, "train"), (0, "test"), (None, "test"))
    assert [(sample.label, sample.split) for sample in listing.samples] == [(0, "train"), (None, "train"), (0, "test")]
    assert listing.left_out == [("3", "without a label in a test split")]


def test_without_any_label_all_splits_stay():
    assert [sample.split for sample in settle((None, "train"), (None, "test")).samples] == ["train", "test"]


def test_nothing_is_refused():
    with pytest.raises(UserError, match="holds no image files"):
        settle()
