"""Parquet of others is a data set without a copy, that trains as the copy does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import quorum
from pipelines.datasets import foreign_images
from pipelines.datasets.image_shards import Dataset, read_column, read_images, read_sources
from pipelines.datasets.shard_files import read_group
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.in_place import index as in_place
from pipelines.in_place.index import index
from pipelines.ingest.recognise import open_source
from pipelines.stream.images.center_crops import CenterReader, EvaluationView
from tests.helpers.inputs import packed
from tests.helpers.inputs.layouts import WNIDS, jpeg


def made(tmp_path: Path, **options) -> Dataset:
    packed.as_hugging_face(tmp_path / "source")
    return index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x", **options)


def labelled_images(dataset: Dataset, split: str) -> list[tuple[str, bytes]]:
    """Class and content by id."""
    images, labels = read_images(dataset, split, range(dataset.split(split).ids)), read_column(dataset, split, "label")
    return [(dataset.classes[labels[row]], images[row]) for row in sorted(images)]


def test_ids_labels_and_images_are_those_of_the_files(tmp_path):
    dataset = made(tmp_path)
    images = packed.fifty_images()
    assert {name: split.rows for name, split in dataset.splits.items()} == {"train": 44, "test": 7}
    for split, name in (("train", "train"), ("test", "val")):
        rows = images[name][0::2] + images[name][1::2]  # the first file, then the second
        assert labelled_images(dataset, split) == [(c, image) for _, c, image in rows]
    assert dataset.split("train").class_counts == [11] * 4
    assert dataset.classes == WNIDS
    assert [shard.row_groups for shard in dataset.split("train").shards] == [[5, 5, 5, 5, 2]] * 2
    assert next(iter(read_sources(dataset, "train"))) == "data/train-00000-of-00002-8a3b0c.parquet:0"


def test_it_opens_as_any_data_set_and_holds_no_image(tmp_path):
    dataset = made(tmp_path)
    assert Dataset.open(str(tmp_path / "data")) == dataset
    written = sum(path.stat().st_size for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert written < sum(shard.image_bytes for split in dataset.splits.values() for shard in split.shards) / 2
    shard = dataset.split("train").shards[0]
    table = read_group(dataset.location, shard, 1, ("id", "image", "label"))
    assert table.column_names == ["id", "image", "label"]
    assert table["id"].to_pylist() == [5, 6, 7, 8, 9]


def test_row_groups_without_rows_are_passed_over(tmp_path):
    (tmp_path / "source").mkdir()
    images = [jpeg(row) for row in range(3)]
    for name, sizes in (("a", (2, 0, 1)), ("b", (0, 3, 0))):
        table = pa.table({"image": pa.array(images, pa.binary())})
        with pq.ParquetWriter(tmp_path / "source" / f"{name}.parquet", table.schema) as writer:
            for start, rows in zip(np.cumsum([0, *sizes[:-1]]).tolist(), sizes, strict=True):
                writer.write_table(table.slice(start, rows), row_group_size=3)
    dataset = index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")
    assert [shard.row_groups for shard in dataset.split("train").shards] == [[2, 0, 1], [0, 3, 0]]
    for ids in ([2], [3], [5, 0], range(6)):
        assert read_images(dataset, "train", ids) == {row: images[row % 3] for row in ids}
    reader = CenterReader(dataset, "train", EvaluationView(16, [0, 0, 0], [1, 1, 1]), None, 0, 1)
    assert [block["id"].tolist() for block in reader({"id": np.arange(len(reader.jobs))})] == [[0, 1], [2], [3, 4, 5]]


def test_a_sample_of_rows_that_lie_in_any_order_has_every_so_manieth(tmp_path):
    (tmp_path / "source").mkdir()
    pq.write_table(pa.table({"image": [jpeg(0)] * 64}), tmp_path / "source" / "a.parquet", row_group_size=10)
    dataset = index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")
    reader = CenterReader(dataset, "train", EvaluationView(16, [0, 0, 0], [1, 1, 1]), 8, 0, 1)
    ids = [block["id"].tolist() for block in reader({"id": np.arange(len(reader.jobs))})]
    assert ids == [[0, 8], [16], [24], [32], [40, 48], [56]]


@pytest.mark.parametrize("change", ["gone", "longer", "other rows of the same size"])
def test_files_that_changed_are_refused_by_name(tmp_path, change):
    dataset = made(tmp_path)
    path = sorted((tmp_path / "source" / "data").glob("train*"))[0]
    if change == "gone":
        path.unlink()
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"0")
    else:
        table = pq.read_table(path)
        pq.write_table(table.slice(0, len(table) - 1), path)
        path.write_bytes(path.read_bytes()[:-8].ljust(dataset.split("train").shards[0].image_bytes - 8, b"\0") + b"\0\0\0\0PAR1")
    foreign_images._reader.cache_clear()
    with pytest.raises(UserError, match=rf"{path.name}.*: ingest the source again"):
        read_images(Dataset.open(str(tmp_path / "data")), "train", [0])


def test_rows_that_lie_class_by_class_are_refused_and_the_copy_is_offered(tmp_path):
    labels = np.repeat(np.arange(50), 60)
    images = [jpeg(0)] * len(labels)
    (tmp_path / "sorted").mkdir()
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "sorted" / "a.parquet", row_group_size=100)
    said = (
        r"lie class by class: a window of 256 would hold \d\.\d classes on average, and a random sample .* 49\.\d; leave out --in"
    )
    with pytest.raises(UserError, match=said):
        index(open_source(str(tmp_path / "sorted")), str(tmp_path / "data"), "x")
    assert not (tmp_path / "data").exists()
    mixed = np.random.default_rng(0).permutation(labels)
    pq.write_table(pa.table({"image": images, "label": mixed}), tmp_path / "sorted" / "a.parquet", row_group_size=100)
    assert index(open_source(str(tmp_path / "sorted")), str(tmp_path / "data"), "x").split("train").rows == 3000


def test_a_name_that_no_address_can_hold_is_refused_before_a_data_set_that_nobody_can_open(tmp_path, monkeypatch):
    packed.as_hugging_face(tmp_path / "source")
    source = open_source(str(tmp_path / "source"))

    def place(self, path: str) -> Location:
        """As on a bucket, whose addresses are more than paths."""
        file = self.root / path
        return Location(file.filesystem, file.path, f"file://{file.path} of a bucket")

    monkeypatch.setattr(type(source), "place", place)
    with pytest.raises(UserError, match=r"has a name that no address can hold as it is: rename it, or leave out --in-place"):
        index(source, str(tmp_path / "data"), "x")
    assert not (tmp_path / "data").exists()


def test_a_file_of_several_splits_is_refused_and_the_copy_is_offered(tmp_path):
    (tmp_path / "source").mkdir()
    columns = {"image": [jpeg(0)] * 4, "label": [0, 1, 0, 1], "split": ["train", "train", "test", "test"]}
    pq.write_table(pa.table(columns), tmp_path / "source" / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet has rows of several splits, and in place a file is of one; leave out --in"):
        index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")


def test_rows_without_a_label_hide_no_order(tmp_path):
    labels = [None if place % 2 else place // 120 for place in range(6000)]
    images = [jpeg(0)] * len(labels)
    (tmp_path / "source").mkdir()
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "source" / "a.parquet", row_group_size=100)
    with pytest.raises(UserError, match="lie class by class"):
        index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")
    mixed = [labels[place] for place in np.random.default_rng(0).permutation(len(labels))]
    few = [*mixed[:300], *[None] * 5700]  # all labels in the first row groups
    for number, known in enumerate((mixed, few, [None] * 6000)):
        pq.write_table(
            pa.table({"image": images, "label": pa.array(known, pa.int64())}),
            tmp_path / "source" / "a.parquet",
            row_group_size=100,
        )
        assert index(open_source(str(tmp_path / "source")), str(tmp_path / f"data-{number}"), "x").split("train").rows == 6000


def test_row_groups_that_are_too_large_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(in_place, "GROUP_BYTES", 1000)
    with pytest.raises(UserError, match=r"has row groups of .*; leave out --in-place"):
        made(tmp_path)


@pytest.mark.parametrize(
    "option",
    [
        {"holdout": 0.1}, {"val": 0.1}, {"short_side": 8}, {"pixels": True}, {"take": 5}, {"seed": 3}, {"max_bad": 0.5},
        {"rows_per_shard": 100},
    ],
)  # fmt: skip
def test_options_of_a_copy_are_refused(tmp_path, option):
    packed.as_hugging_face(tmp_path / "source")
    with pytest.raises(UserError, match="is of images that are copied, and --in-place leaves them as they are"):
        quorum.ingest(tmp_path / "source", tmp_path / "data", in_place=True, **option)


def test_other_sources_are_refused(tmp_path):
    packed.as_folders(tmp_path / "source")
    with pytest.raises(UserError, match="--in-place is for Parquet files with a column of images"):
        quorum.ingest(tmp_path / "source", tmp_path / "data", in_place=True)


def with_bad_images(folder: Path, rows: int = 48, bad: tuple[int, ...] = (3, 17, 40)) -> None:
    images = [b"none" if row == bad[0] else None if row in bad else jpeg(row) for row in range(rows)]
    folder.mkdir()
    pq.write_table(pa.table({"image": pa.array(images, pa.binary())}), folder / "a.parquet", row_group_size=10)


def test_images_that_cannot_be_decoded_are_grey(tmp_path):
    with_bad_images(tmp_path / "source")
    dataset = index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")
    reader = CenterReader(dataset, "train", EvaluationView(16, [0, 0, 0], [1, 1, 1]), None, 0, 1)
    blocks = list(reader({"id": np.arange(len(reader.jobs))}))
    pixels = np.concatenate([block["image"] for block in blocks])
    assert np.flatnonzero((pixels == 128).all(axis=(1, 2, 3))).tolist() == [3, 17, 40]


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_counts_them_at_each_epoch_and_learns_finite_weights(local_ray, tmp_path):
    with_bad_images(tmp_path / "source")
    data = quorum.ingest(tmp_path / "source", tmp_path / "data", in_place=True)
    options = {
        "views": {"large": [{"size": 16}]}, "backbone": {"name": "wrn-10-1"}, "epochs": 2, "batch_size": 8,
        "method": {"num_clusters": [4], "dim": 16, "predictor_hidden": 16}, "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db"},
        "stream": {"lanes": 4}, "compute": {"threads": 1},
    }  # fmt: skip
    run = quorum.pretrain(None, data=data, to=tmp_path / "runs" / "one", **options)
    assert run.figures["stream/unreadable"].dropna().tolist() == [3.0, 3.0]
    assert all(torch.isfinite(weight).all() for weight in run.backbone().state_dict().values())


@pytest.mark.parametrize("statistics", [True, False])
def test_paths_in_the_place_of_images_are_refused(tmp_path, statistics):
    (tmp_path / "source").mkdir()
    rows = [{"bytes": jpeg(0), "path": "0.jpg"}, {"bytes": None, "path": "1.jpg"}]
    table = pa.table({"image": pa.array(rows, packed.STRUCT)})
    pq.write_table(table, tmp_path / "source" / "a.parquet", write_statistics=statistics)
    with pytest.raises(UserError, match=r"1 rows of .* have a path in the place of an image"):
        index(open_source(str(tmp_path / "source")), str(tmp_path / "data"), "x")


@pytest.mark.parametrize("option", [{"in_place": True}, {}])
def test_a_source_is_never_deleted(tmp_path, option):
    packed.as_plain_parquet(tmp_path / "source")
    before = {path: path.read_bytes() for path in (tmp_path / "source").rglob("*.PARQUET")}
    for source, to in (("source", "source"), ("source/train", "source")):
        with pytest.raises(UserError, match="which would be replaced; choose another folder for --to"):
            quorum.ingest(tmp_path / source, tmp_path / to, overwrite=True, **option)
    assert {path: path.read_bytes() for path in (tmp_path / "source").rglob("*.PARQUET")} == before


def test_a_folder_that_another_ingest_writes_is_refused(tmp_path):
    with one_writer(Location.of(tmp_path / "data")), pytest.raises(UserError, match=r"data is being written by process \d+"):
        made(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_parquet_of_others_in_the_destination_is_never_deleted(tmp_path):
    packed.as_plain_parquet(tmp_path / "source")
    (tmp_path / "to" / "train").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "to" / "train" / "part-00000.parquet")
    with pytest.raises(UserError, match="holds Parquet files that are no ingest's"):
        quorum.ingest(tmp_path / "source", tmp_path / "to", overwrite=True)
    assert pq.read_table(tmp_path / "to" / "train" / "part-00000.parquet")["a"].to_pylist() == [1]
