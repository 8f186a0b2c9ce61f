"""Parquet with images, as tools write it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UserError
from pipelines.files.parquet_reader import ParquetReader
from pipelines.ingest.containers import parquet_images
from pipelines.ingest.recognise import open_source
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.inputs.layouts import jpeg
from tests.helpers.inputs.packed import features


def write(folder: Path, name: str, labels: list, names: list[str] | None = None, first: int = 0) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    images = pa.array([jpeg(first + place) for place in range(len(labels))], pa.binary())
    table = pa.table({"image": images, "label": labels})
    pq.write_table(table.replace_schema_metadata(features(names)) if names else table, folder / name)


def read(folder: Path) -> dict[bytes, tuple[str, str]]:
    source = open_source(str(folder))
    listing = source.listing()
    return {source.read(sample.key): (listing.classes[sample.label], sample.split) for sample in listing.samples}


def test_a_file_with_bare_numbers_among_some_that_name_their_classes_is_refused_by_its_name(tmp_path):
    write(tmp_path, "train-0.parquet", [0, 1], ["cat", "dog"])
    write(tmp_path, "train-1.parquet", [0, 0], first=2)
    with pytest.raises(UserError, match=r"^train-1\.parquet has classes by number \(0\) and no names of them"):
        open_source(str(tmp_path)).listing()


def test_files_that_name_their_classes_in_another_order_are_joined_by_name(tmp_path):
    write(tmp_path, "train-0.parquet", [0, 1], ["cat", "dog"])
    write(tmp_path, "test-0.parquet", [0, 1, 2], ["dog", "cat", "ant"], first=2)
    found = read(tmp_path)
    assert [found[jpeg(place)] for place in range(5)] == [
        ("cat", "train"), ("dog", "train"), ("dog", "test"), ("cat", "test"), ("ant", "test"),
    ]  # fmt: skip
    assert open_source(str(tmp_path)).listing().notes == [
        "the files name their classes in different ways (class 0 is 'dog' in test-0.parquet and 'cat' in train-0.parquet): they "
        "are joined by name, so that what is called alike is one class, whatever its number"
    ]


def test_folders_that_may_be_configurations_of_the_same_images_are_said(tmp_path):
    for folder in ("small/", "full/", "train/", "val/"):
        write(tmp_path, f"{folder}train-00000-of-00001.parquet", [0, 1])
    assert open_source(str(tmp_path)).listing().notes == [
        "full/ and small/ both have a train-00000-of-00001.parquet: if they are configurations of the same images, ingest one of "
        "them alone"
    ]


def test_numbers_in_one_file_and_names_in_another_are_refused(tmp_path):
    write(tmp_path, "a.parquet", [0, 1])
    write(tmp_path, "b.parquet", ["cat", "dog"], first=2)
    with pytest.raises(UserError, match=r"holds numbers .* and names .*; write one kind"):
        open_source(str(tmp_path)).listing()


@pytest.mark.parametrize(("without", "labelled"), [("a", "b"), ("b", "a"), ("test", "train"), ("train", "test")])
def test_a_file_without_the_labels_of_others_is_refused_whichever_comes_first(tmp_path, without, labelled):
    write(tmp_path, f"{labelled}.parquet", ["cat", "dog"])
    pq.write_table(pa.table({"image": pa.array([jpeg(7)], pa.binary())}), tmp_path / f"{without}.parquet")
    with pytest.raises(UserError, match=r"'label', (as the other files have|which the first file has not)"):
        open_source(str(tmp_path)).listing()


def test_a_column_of_labels_without_any_is_no_reason_to_refuse_a_file(tmp_path):
    pq.write_table(pa.table({"image": pa.array([jpeg(7)], pa.binary())}), tmp_path / "a.parquet")
    write(tmp_path, "b.parquet", [None, None])
    assert [sample.label for sample in open_source(str(tmp_path)).listing().samples] == [None] * 3


def test_bytes_that_stand_once_for_many_rows_are_images(tmp_path):
    images = pa.array([jpeg(0), jpeg(1), jpeg(0)], pa.binary()).dictionary_encode()
    pq.write_table(pa.table({"image": images, "label": ["cat", "dog", "cat"]}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path))
    assert [source.read(sample.key) for sample in source.listing().samples] == [jpeg(0), jpeg(1), jpeg(0)]


def test_files_without_rows_and_types_are_passed_over(tmp_path):
    tmp_path.joinpath("x").mkdir()
    pq.write_table(pa.table({"image": pa.array([], pa.null()), "label": pa.array([], pa.null())}), tmp_path / "x" / "a.parquet")
    write(tmp_path / "x", "b.parquet", ["cat", "cat"])
    assert read(tmp_path / "x") == {jpeg(0): ("cat", "train"), jpeg(1): ("cat", "train")}


def write_with_splits(file: Path, splits: list) -> None:
    images = pa.array([jpeg(place) for place in range(4)], pa.binary())
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": list("abab"), "split": splits}), file)


def test_a_column_says_the_split_where_no_name_of_a_file_does(tmp_path):
    splits = ["train", "Validation", None, "test"]
    write_with_splits(tmp_path / "x" / "data.parquet", splits)
    assert [split for _, split in read(tmp_path / "x").values()] == ["train", "val", "train", "test"]
    write_with_splits(tmp_path / "y" / "train-0.parquet", splits)
    assert {split for _, split in read(tmp_path / "y").values()} == {"train"}


def test_a_column_of_other_sets_is_said_not_to_be_read(tmp_path):
    write_with_splits(tmp_path / "data.parquet", ["train", "A", "B", "test"])
    listing = open_source(str(tmp_path)).listing()
    assert {sample.split for sample in listing.samples} == {"train"}
    assert listing.notes == ["'A' in the column of splits is none of train, val and test: that column is not read"]


@pytest.mark.parametrize("kind", [pa.decimal128(12, 0), pa.decimal256(14, 2)])
def test_numbers_of_data_bases_are_labels(tmp_path, kind):
    table = pa.table({"image": pa.array([jpeg(0), jpeg(1)], pa.binary()), "label": pa.array([0, 1]).cast(pa.int32()).cast(kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [sample.label for sample in open_source(str(tmp_path)).listing().samples] == [0, 1]


@pytest.mark.parametrize("name", ["one.parquet", "ONE.PARQUET", "one.pq"])
def test_a_single_file_is_a_source(tmp_path, name):
    write(tmp_path, name, ["cat", "dog"])
    source = open_source(str(tmp_path / name))
    assert [source.read(sample.key) for sample in source.listing().samples] == [jpeg(0), jpeg(1)]


def test_a_data_set_is_no_source(tmp_path):
    write_digits(tmp_path / "digits", 20, 10)
    with pytest.raises(UserError, match="is a data set already: give it as --data"):
        open_source(str(tmp_path / "digits"))


def test_folders_that_are_named_by_a_label_are_told_to_be_unread(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "split=train" / f"label={name}").mkdir(parents=True)
        pq.write_table(pa.table({"image": pa.array([jpeg(0)])}), tmp_path / "split=train" / f"label={name}" / "0.parquet")
    listing = open_source(str(tmp_path)).listing()
    assert listing.notes == [
        "names of folders such as label=cat/ are not read: 'label' counts for nothing, unless you write it into the files"
    ]
    assert {sample.split for sample in listing.samples} == {"train"}


@pytest.mark.parametrize("kind", [pa.binary_view(), pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])])
def test_images_in_columns_of_views_are_read(tmp_path, kind):
    plain = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = (
        [jpeg(1), None] if kind == pa.binary_view() else [{"bytes": jpeg(1), "path": None}, {"bytes": None, "path": "none.jpg"}]
    )
    images = pa.array(rows, pa.binary() if kind == pa.binary_view() else plain).cast(kind)
    pq.write_table(pa.table({"image": images, "label": pa.array(["a", "b"]).cast(pa.string_view())}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path))
    assert [sample.label for sample in source.listing().samples] == [0, 1]
    found = list(source.read_rows("a.parquet", [0, 1]))
    assert found[0] == jpeg(1)
    assert isinstance(found[1], Exception)


@pytest.mark.parametrize("struct", [False, True])
def test_a_row_group_that_no_task_holds_is_read_in_parts(tmp_path, monkeypatch, struct):
    rows = [jpeg(place) for place in range(9)]
    values = [{"bytes": image, "path": None} for image in rows] if struct else rows
    pq.write_table(pa.table({"image": values, "label": list(range(9))}), tmp_path / "a.parquet")
    source, wanted = open_source(str(tmp_path)), [0, 3, 4, 8]
    monkeypatch.setattr(parquet_images, "PIECE_BYTES", 100)
    monkeypatch.setattr(parquet_images, "PART_BYTES", 2 * len(rows[0]))
    monkeypatch.setattr(ParquetReader, "read_row_group", None)
    assert list(source.read_rows("a.parquet", wanted)) == [rows[place] for place in wanted]


@pytest.mark.parametrize("struct", [False, True])
def test_images_are_counted_in_bytes_whatever_their_column_is_called(tmp_path, struct):
    values = [{"bytes": jpeg(place), "path": None} if struct else jpeg(place) for place in range(3)]
    pq.write_table(pa.table({"my.image": values, "my": [0, 1, 2]}), tmp_path / "a.parquet")
    (piece,) = open_source(str(tmp_path)).listing().pieces
    assert piece.bytes > sum(len(jpeg(place)) for place in range(3))


def test_what_no_file_can_be_called_is_unreadable_by_itself(tmp_path):
    (tmp_path / "0.jpg").write_bytes(jpeg(0))
    paths = ["0.jpg", "1\x00.jpg", "x" * 5000, "http://[", "no://where/1.jpg"]
    rows = pa.array([{"bytes": None, "path": path} for path in paths], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    first, *others = open_source(str(tmp_path / "a.parquet")).read_rows("", range(len(paths)))
    assert first == jpeg(0)
    assert all(isinstance(other, Exception) for other in others)
