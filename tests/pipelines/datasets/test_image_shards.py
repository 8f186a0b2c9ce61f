"""Shards and their manifest: what comes back, and what does not read as a data set."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.datasets import shard_files
from pipelines.datasets.image_shards import SHARDS_MANIFEST, Dataset, Split, read_column, read_images
from pipelines.datasets.scored_split import scored_split
from pipelines.datasets.shard_files import Shard, read_group
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.digits import DigitsSource
from tests.helpers.inputs.digit_shards import write_digits


@pytest.fixture
def copy(some_digits, tmp_path):
    """A data set that a test may damage."""
    shutil.copytree(some_digits.location.path, tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder, change):
    manifest = json.loads((folder / SHARDS_MANIFEST).read_text())
    del manifest["digest"]  # as one of version 0.1
    change(manifest)
    (folder / SHARDS_MANIFEST).write_text(json.dumps(manifest))


def test_a_data_set_reads_back_as_it_was_written(some_digits):
    assert Dataset.open(some_digits.location.path) == some_digits
    assert some_digits.split("train").rows == some_digits.split("train").ids == 300
    assert some_digits.split("train").labelled


def test_the_manifest_knows_the_row_groups_of_the_files(some_digits):
    for shard in some_digits.split("train").shards:
        metadata = pq.ParquetFile(f"{some_digits.location.path}/{shard.path}").metadata
        assert shard.row_groups == [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert [len(shard.row_groups) for shard in some_digits.split("train").shards] == [2, 2, 1]


def test_the_fingerprint_follows_the_content(some_digits, tmp_path):
    again = write_digits(tmp_path / "again", 300, 140)
    other = write_digits(tmp_path / "other", 299, 140)
    assert again.fingerprint == some_digits.fingerprint != other.fingerprint


def test_an_unknown_split_is_named_with_the_nearest(some_digits):
    with pytest.raises(UserError, match=r"no split 'trian'; nearest valid name: train; it has train"):
        some_digits.split("trian")


def test_a_folder_without_a_manifest_is_refused(copy):
    (copy / SHARDS_MANIFEST).unlink()
    with pytest.raises(UserError, match=f"holds no {SHARDS_MANIFEST}.*quorum ingest"):
        Dataset.open(str(copy))


def test_a_manifest_that_is_cut_short_is_refused(copy):
    content = (copy / SHARDS_MANIFEST).read_bytes()
    (copy / SHARDS_MANIFEST).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=SHARDS_MANIFEST):
        Dataset.open(str(copy))


def test_another_format_is_refused(copy):
    edit(copy, lambda manifest: manifest.update(format=2))
    with pytest.raises(UserError, match="has format 2, this version reads 1"):
        Dataset.open(str(copy))


EDITS = {
    "digest": lambda manifest: manifest["splits"]["train"]["shards"][0].update(digest="0" * 16),
    "shard left out": lambda manifest: manifest["splits"]["train"]["shards"].pop(),
    "shards swapped": lambda manifest: manifest["splits"]["train"]["shards"].reverse(),
}


@pytest.mark.parametrize("change", EDITS)
def test_an_edited_manifest_is_refused(copy, change):
    edit(copy, EDITS[change])
    with pytest.raises(UserError, match="was edited"):
        Dataset.open(str(copy))


def test_a_shard_that_is_cut_short_is_refused_by_name(copy):
    shard = copy / "train" / "part-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"part-00001\.parquet has \d+ bytes, its manifest says \d+"):
        Dataset.open(str(copy))


def test_a_missing_shard_is_refused_by_name(copy):
    (copy / "train" / "part-00002.parquet").unlink()
    with pytest.raises(UserError, match=r"part-00002\.parquet has 0 bytes"):
        Dataset.open(str(copy))


def test_a_parquet_file_of_others_is_no_shard(tmp_path):
    pq.write_table(pa.table({"id": [0]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other\.parquet is no shard of format 1"):
        read_group(Location.of(tmp_path), Shard("other.parquet", 1, 1, 1, "digest"), 0, ["id"])


def test_a_row_group_has_the_rows_and_columns_asked_for(some_digits):
    shard = some_digits.split("train").shards[1]
    table = read_group(some_digits.location, shard, 1, ["id", "source"])
    assert table["id"].to_pylist() == list(range(140 + 128, 280))
    assert table["source"].to_pylist()[:2] == ["268", "269"]


def test_read_column_is_indexed_by_id(some_digits):
    expected = [sample.label for sample in DigitsSource().listing().samples[:300]]
    assert read_column(some_digits, "train", "label").tolist() == expected


def test_holes_have_no_value_and_move_no_other_id(tmp_path):
    whole, holed = write_digits(tmp_path / "whole", 60, 25), write_digits(tmp_path / "holed", 60, 25, holes={0, 30, 59})
    assert (holed.split("train").ids, holed.split("train").rows) == (60, 57)
    labels, holed_labels = read_column(whole, "train", "label"), read_column(holed, "train", "label")
    assert np.flatnonzero(holed_labels == -1).tolist() == [0, 30, 59]
    np.testing.assert_array_equal(np.delete(holed_labels, [0, 30, 59]), np.delete(labels, [0, 30, 59]))
    assert holed.split("train").labelled


def test_unlabelled_rows_read_as_minus_one(tmp_path):
    dataset = write_digits(tmp_path / "unlabelled", 20, 20, labelled=False)
    assert not dataset.split("train").labelled
    assert read_column(dataset, "train", "label").tolist() == [-1] * 20


def test_read_images_opens_the_shards_of_a_bisection_only(tmp_path, monkeypatch):
    dataset, opened, reader = write_digits(tmp_path / "digits", 320, 10), set(), shard_files.open_parquet
    monkeypatch.setattr(shard_files, "open_parquet", lambda *names: opened.add(names[1]) or reader(*names))
    assert list(read_images(dataset, "train", [57])) == [57]
    assert len(opened) <= 6  # of 32


def test_read_images_finds_ids_across_shards_and_row_groups_and_skips_holes(tmp_path):
    dataset, source = write_digits(tmp_path / "digits", 300, 140, holes={141}), DigitsSource()
    wanted = [299, 0, 127, 128, 139, 140, 141, 268]
    assert read_images(dataset, "train", wanted) == {i: source.read(str(i)) for i in wanted if i != 141}


def test_reads_follow_a_data_set_that_is_written_anew(tmp_path):
    first = write_digits(tmp_path / "digits", 40, 20)
    assert len(read_images(first, "train", range(40))) == 40
    shutil.rmtree(tmp_path / "digits")
    second = write_digits(tmp_path / "digits", 40, 20, holes={3})
    assert 3 not in read_images(Dataset.open(str(tmp_path / "digits")), "train", range(40))
    assert read_column(second, "train", "label")[3] == -1


def test_an_opened_data_set_is_handed_on_whole_and_small(some_digits):
    assert pickle.loads(pickle.dumps(some_digits)) == some_digits
    shards = [Shard(f"train/part-{i:05d}.parquet", 450_000_000, 4096, 32, "0" * 16) for i in range(313)]
    train = Split(1_281_167, shards, [1300] * 1000)
    imagenet = Dataset(some_digits.location, "imagenet", [f"n{i:08d}" for i in range(1000)], {"train": train}, 0)
    assert len(pickle.dumps(imagenet)) < 100_000


@pytest.mark.parametrize(
    ("splits", "chosen", "scored"),
    [
        ({"train": 1, "val": 1, "test": 1}, None, "val"),
        ({"train": 1, "test": 1}, None, "test"),
        ({"train": 1, "val": 1, "test": 1}, "test", "test"),
        ({"train": 1, "val": 0, "test": 1}, None, "test"),
        ({"train": 1, "extra": 1}, "extra", "extra"),
        ({"train": 1}, None, None),
    ],
)
def test_scores_are_of_val_where_it_has_labels(splits, chosen, scored):
    made = {name: Split(1, [Shard("part.parquet", 1, 1, 1, "0")], [labelled]) for name, labelled in splits.items()}
    assert scored_split(Dataset(Location.of("data"), "data", ["a"], made, 0), chosen) == scored


def test_scores_are_never_of_what_is_trained_on():
    made = {name: Split(1, [Shard("part.parquet", 1, 1, 1, "0")], [1]) for name in ("train", "val", "test")}
    dataset = Dataset(Location.of("data"), "data", ["a"], made, 0)
    assert scored_split(dataset, trained="val") == "test"
    with pytest.raises(UserError, match=r"monitor\.split is 'val', which is trained on"):
        scored_split(dataset, "val", trained="val")


def test_scores_of_a_split_that_is_not_there_or_has_no_labels_are_refused(some_digits):
    with pytest.raises(UserError, match="no split 'vall'"):
        scored_split(some_digits, "vall")
    made = {"val": Split(1, [Shard("part.parquet", 1, 1, 1, "0")], [0])}
    with pytest.raises(UserError, match=r"monitor\.split is 'val', which has no labels"):
        scored_split(Dataset(Location.of("data"), "data", ["a"], made, 0), "val")
