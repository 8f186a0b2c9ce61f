"""Folders of vectors: what is read, in which place, and the sentence for what cannot be."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.datasets import embedding_folder
from pipelines.datasets.embedding_folder import EmbeddingFolder, first_spoilt
from pipelines.datasets.id_column import plain_ids
from pipelines.datasets.vector_column import RowForm
from pipelines.errors import UserError
from pipelines.stream.epoch_order import EpochOrder, StreamShape
from pipelines.stream.vector_windows import VectorReader
from tests.helpers.places import ROOT

DIM = 6


def random_rows(rows: int, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, DIM)).astype(dtype)


def lists(rows: np.ndarray, *, fixed: bool = True) -> pa.Array:
    flat = pa.array(rows.reshape(-1))
    if fixed:
        return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    return pa.ListArray.from_arrays(np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1], flat)


def write(path, rows, *, group: int = 10, fixed: bool = True, **columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = rows if isinstance(rows, pa.Array) else lists(rows, fixed=fixed)
    pq.write_table(pa.table({"embedding": vectors, **columns}), path, row_group_size=group)


def all_rows(vectors: EmbeddingFolder) -> np.ndarray:
    read = [vectors.read(s, g) for s, shard in enumerate(vectors.shards) for g in range(len(shard.row_groups))]
    places = np.concatenate([places for _, places in read])
    assert places.tolist() == list(range(vectors.rows))
    return np.concatenate([rows for rows, _ in read])


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("fixed", [True, False])
def test_rows_of_every_type_come_normalised_and_in_the_order_of_the_files(tmp_path, dtype, fixed):
    rows = random_rows(57, dtype=dtype)
    write(tmp_path / "b.parquet", rows[25:], fixed=fixed)
    write(tmp_path / "a.parquet", rows[:25], fixed=fixed)
    vectors = EmbeddingFolder.open(str(tmp_path))
    assert (vectors.rows, vectors.dim, vectors.id_column) == (57, DIM, None)
    assert [shard.row_groups for shard in vectors.shards] == [(10, 10, 5), (10, 10, 10, 2)]
    np.testing.assert_allclose(all_rows(vectors), unit(rows), atol=1e-6)
    assert vectors.read_ids(1, 1).to_pylist() == list(range(35, 45))


def test_files_below_the_folder_count_and_hidden_ones_do_not(tmp_path):
    write(tmp_path / "day=2" / "x.parquet", random_rows(5))
    write(tmp_path / "day=1" / "x.parquet", random_rows(7))
    write(tmp_path / "_temporary" / "x.parquet", random_rows(9))
    write(tmp_path / ".x.parquet", random_rows(9))
    (tmp_path / "embeddings.json").write_text("{}")
    assert [shard.path for shard in EmbeddingFolder.open(str(tmp_path)).shards] == ["day=1/x.parquet", "day=2/x.parquet"]


@pytest.mark.parametrize(("ids", "read"), [([7, 3, 9], [7, 3, 9]), (["x", "ä", "z"], ["x", "ä", "z"])])
def test_ids_are_integers_or_strings(tmp_path, ids, read):
    write(tmp_path / "a.parquet", random_rows(3), id=ids)
    vectors = EmbeddingFolder.open(str(tmp_path))
    assert vectors.id_column == "id"
    assert vectors.read_ids(0, 0).to_pylist() == read


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="older Arrow reads UUIDs as bytes")
def test_ids_that_are_uuids_are_read_as_their_texts(tmp_path):
    ids = [uuid.UUID(int=number << 64 | 5) for number in range(25)]
    stored = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([one.bytes for one in ids], pa.binary(16)))
    write(tmp_path / "a.parquet", random_rows(25), id=pa.chunked_array([stored[:13], stored[13:]]))
    vectors = EmbeddingFolder.open(str(tmp_path))
    assert [one for group in range(3) for one in vectors.read_ids(0, group).to_pylist()] == [str(one) for one in ids]
    assert plain_ids(stored[7:9]).to_pylist() == [str(one) for one in ids[7:9]]
    assert vectors.repeated_ids() == (0, "")


def test_another_column_of_ids_can_be_named(tmp_path):
    write(tmp_path / "a.parquet", random_rows(3), id=[1, 2, 3], name=["a", "b", "c"])
    assert EmbeddingFolder.open(str(tmp_path), id_column="name").read_ids(0, 0).to_pylist() == ["a", "b", "c"]


def test_a_row_whose_squares_overflow_has_a_direction():
    rows = RowForm().rows(lists(np.array([[3e30, 4e30], [3e-30, 4e-30]], np.float32)), 2)
    np.testing.assert_allclose(rows, [[0.6, 0.8]] * 2, rtol=1e-6)


def test_the_fingerprint_follows_the_rows_their_files_and_the_columns(tmp_path):
    rows = random_rows(20)
    write(tmp_path / "one" / "a.parquet", rows, other=lists(rows))
    write(tmp_path / "same" / "a.parquet", rows, other=lists(rows))
    write(tmp_path / "changed" / "a.parquet", rows * np.float32(1.5), other=lists(rows))
    write(tmp_path / "renamed" / "b.parquet", rows, other=lists(rows))
    opened = {name: EmbeddingFolder.open(str(tmp_path / name)).fingerprint for name in ("one", "same", "changed", "renamed")}
    assert opened["one"] == opened["same"]
    assert len({*opened.values(), EmbeddingFolder.open(str(tmp_path / "one"), "other").fingerprint}) == 4


def test_an_order_takes_vectors_as_it_takes_shards(tmp_path):
    write(tmp_path / "a.parquet", random_rows(57))
    vectors = EmbeddingFolder.open(str(tmp_path))
    order = EpochOrder(vectors, StreamShape(8, 2, 8), seed=0, epoch=0)
    assert (order.steps, order.left_out) == (7, 1)


SPOILT = {
    "zeros": [0.0] * DIM,
    "nan": [1.0, float("nan"), *[1.0] * (DIM - 2)],
    "infinity": [1.0, float("inf"), *[1.0] * (DIM - 2)],
    "null number": [1.0, None, *[1.0] * (DIM - 2)],
}


@pytest.mark.parametrize("spoilt", list(SPOILT.values()), ids=list(SPOILT))
def test_a_row_without_direction_is_named_by_file_and_row(tmp_path, spoilt):
    rows = [*random_rows(19).tolist(), spoilt, *random_rows(5).tolist()]
    write(tmp_path / "b.parquet", pa.array(rows, pa.list_(pa.float32(), DIM)))
    write(tmp_path / "a.parquet", random_rows(10))
    vectors = EmbeddingFolder.open(str(tmp_path))
    assert first_spoilt(*vectors.read(1, 0)) is None
    place = first_spoilt(*vectors.read(1, 1))
    assert place == 29
    assert f"row 19 of {tmp_path}/b.parquet has no direction" in str(vectors.refusal(place))


def test_rows_that_differ_in_length_but_not_on_average_are_named_when_they_are_read():
    rows = RowForm().rows(pa.array([[1.0, 2.0, 3.0], [1.0], [1.0, 0.0]], pa.list_(pa.float32())), 2)
    assert first_spoilt(rows, np.arange(3)) == 0
    assert rows[2].tolist() == [1.0, 0.0]


def refused(tmp_path, column: str = "embedding", id_column: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        EmbeddingFolder.open(str(tmp_path), column, id_column)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_that_is_none_or_has_no_parquet_files(tmp_path):
    assert "is no folder" in refused(tmp_path / "absent")
    assert "holds no .parquet file" in refused(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    assert f"{tmp_path}/a.parquet is no whole Parquet file" in refused(tmp_path)


def test_columns_that_are_not_there_or_of_another_type(tmp_path):
    write(tmp_path / "a.parquet", random_rows(3), image=[b"x"] * 3, score=[0.1, 0.2, 0.3], ids=pa.array([[1], [2], [3]]))
    assert "has no column 'embeddings'; nearest valid name: embedding" in refused(tmp_path, "embeddings")
    assert "has no column 'scores'; nearest valid name: score" in refused(tmp_path, id_column="scores")
    assert "column 'score' of" in refused(tmp_path, "score")
    assert "list<element: int64>" in refused(tmp_path, "ids")
    assert "column 'score' of" in refused(tmp_path, id_column="score")
    write(tmp_path / "b.parquet", random_rows(3))
    write(tmp_path / "a.parquet", random_rows(3), id=[1, 2, 3])
    assert f"{tmp_path}/b.parquet has no column 'id'" in refused(tmp_path)


def test_a_column_for_each_number_is_told_with_the_command_that_makes_vectors_of_them(tmp_path):
    numbers = random_rows(4)
    columns = {f"n{place}": values for place, values in enumerate(numbers.T)}
    pq.write_table(pa.table({"label": [1, 2, 1, 2], **columns}), tmp_path / "table.parquet")
    said = refused(tmp_path)
    assert f"{tmp_path}/table.parquet has no column 'embedding'; it has label, n0, " in said
    command = shlex.split(said.partition(": where each number of a vector has one, make one: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True, cwd=tmp_path)
    made = EmbeddingFolder.open(str(tmp_path / "table-vectors.parquet"))
    np.testing.assert_allclose(made.read(0, 0)[0], numbers / np.linalg.norm(numbers, axis=1, keepdims=True), rtol=1e-6)


def test_no_rows_and_rows_of_differing_lengths(tmp_path):
    write(tmp_path / "a.parquet", random_rows(0))
    assert "has no rows in any file" in refused(tmp_path)
    write(tmp_path / "b.parquet", random_rows(5))
    assert EmbeddingFolder.open(str(tmp_path)).rows == 5
    write(tmp_path / "c.parquet", random_rows(5)[:, :4])
    assert f"4 numbers a row in {tmp_path}/c.parquet, 6 in {tmp_path}/b.parquet" in refused(tmp_path)
    write(tmp_path / "c.parquet", pa.array([[1.0, 2.0], [1.0]], pa.list_(pa.float32())))
    assert f"is null or of another length in some of rows 0 to 1 of {tmp_path}/c.parquet" in refused(tmp_path)
    write(tmp_path / "c.parquet", pa.array([[1.0] * DIM] * 12 + [None], pa.list_(pa.float32(), DIM)))
    assert f"in some of rows 10 to 12 of {tmp_path}/c.parquet" in refused(tmp_path)


def test_two_columns_of_one_name_are_named(tmp_path):
    rows = pa.array([[1.0, 2.0]] * 3)
    pq.write_table(pa.Table.from_arrays([rows, rows], names=["embedding", "embedding"]), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet has 2 columns of the name 'embedding'; rename all but one"):
        EmbeddingFolder.open(str(tmp_path))


def test_what_a_folder_holds_besides_is_counted_and_said(tmp_path):
    write(tmp_path / "a.parquet", random_rows(3))
    write(tmp_path / ".b.parquet", random_rows(3))
    write(tmp_path / "_logs" / "c.parquet", random_rows(3))
    assert "also holds 2 files (2 hidden): .b.parquet, _logs/c.parquet; not read" in EmbeddingFolder.open(str(tmp_path)).left_out
    for name in ("d.csv", "e.csv", "README"):
        (tmp_path / name).write_text("x")
    said = EmbeddingFolder.open(str(tmp_path)).left_out
    assert "also holds 5 files (2 .csv, 1 no suffix, 2 hidden): .b.parquet, README, _logs/c.parquet, ...; not read" in said
    assert EmbeddingFolder.open(str(tmp_path / "a.parquet")).left_out == ""


@pytest.mark.parametrize("name", ["x.parquet", "x.PARQUET", "x.pq", "x.parq", "split=train/part-0.Parquet", "_kind=a/x.parquet"])
def test_files_of_every_usual_name_are_read_alone_and_in_a_folder(tmp_path, name):
    rows = random_rows(7)
    write(tmp_path / name, rows, id=list("abcdefg"))
    folder, alone = EmbeddingFolder.open(str(tmp_path)), EmbeddingFolder.open(str(tmp_path / name))
    assert [shard.path for shard in folder.shards] == [name]
    assert (folder.single, alone.single) == (False, True)
    assert str(alone.place) == str(tmp_path / name)
    for vectors in (folder, alone):
        np.testing.assert_allclose(all_rows(vectors), unit(rows), atol=1e-6)
        assert vectors.read_ids(0, 0).to_pylist() == list("abcdefg")


def test_one_file_of_what_quorum_embed_wrote_is_no_folder_cut_short(tmp_path):
    write(tmp_path / "a.parquet", random_rows(3))
    (tmp_path / "_embeddings.json").write_text('{"format": 1, "rows": 9}')
    assert "holds 3 of the 9 embeddings" in refused(tmp_path)
    assert EmbeddingFolder.open(str(tmp_path / "a.parquet")).rows == 3


def ray_tensors(rows: np.ndarray) -> pa.Array:
    from ray.data.extensions import ArrowTensorArray

    return ArrowTensorArray.from_numpy(rows)


LAYOUTS = {
    "tensors of Ray Data": ray_tensors,
    "tensors of Arrow": pa.FixedShapeTensorArray.from_numpy_ndarray,
    "tensors of a row": lambda rows: pa.FixedShapeTensorArray.from_numpy_ndarray(rows[:, None]),
    "lists": lambda rows: lists(rows, fixed=False),
    "lists of a fixed size": lists,
    "large lists": lambda rows: lists(rows, fixed=False).cast(pa.large_list(pa.from_numpy_dtype(rows.dtype))),
    "lists of pandas": lambda rows: pa.array(list(rows)),
}


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_are_the_same_however_they_were_written(tmp_path, layout, dtype):
    rows = random_rows(25, dtype=dtype)
    write(tmp_path / "a.parquet", layout(rows))
    vectors = EmbeddingFolder.open(str(tmp_path))
    np.testing.assert_allclose(all_rows(vectors), unit(rows), atol=1e-6)
    np.testing.assert_allclose(vectors.read(0, 1, np.array([3, 1]))[0], unit(rows)[[13, 11]], atol=1e-6)


def test_tensors_of_ray_need_no_ray(tmp_path):
    rows = random_rows(4)
    write(tmp_path / "a.parquet", ray_tensors(rows))
    script = (
        "import sys; from pipelines.datasets.embedding_folder import EmbeddingFolder; "
        f"print(EmbeddingFolder.open({str(tmp_path)!r}).read(0, 0)[0].tolist()); assert not {{'ray', 'torch'}} & set(sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    np.testing.assert_allclose(ast.literal_eval(printed), unit(rows), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_quantised_vectors_are_taken_as_numbers(tmp_path, dtype):
    rows = np.random.default_rng(0).integers(1, 100, size=(5, DIM)).astype(dtype)
    write(tmp_path / "a.parquet", rows)
    np.testing.assert_allclose(all_rows(EmbeddingFolder.open(str(tmp_path))), unit(rows), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([[1, 2]], "list<element: int64>"), ([["a"]], "list<element: string>"), ([[True]], "bool"),
     ([[[1.0]]], "list<element: list"), (["[1, 2]"], "string"), ([b"abcd"], "binary"), ([{"a": 1.0}], "struct")],
)  # fmt: skip
def test_columns_that_hold_no_vectors_are_named_with_their_type(tmp_path, values, kind):
    write(tmp_path / "a.parquet", pa.array(values))
    said = refused(tmp_path)
    assert "column 'embedding' of" in said
    assert kind in said
    assert "set --column" in said


def test_a_name_with_a_dot_is_not_taken_for_a_part(tmp_path):
    rows, parts = random_rows(5), pa.array([[1.0]] * 5)
    columns = {"y": [{"a": 1, "b": [2]}] * 5, "embedding.x": parts, "embedding": lists(rows)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    vectors = EmbeddingFolder.open(str(tmp_path))
    np.testing.assert_allclose(all_rows(vectors), unit(rows), atol=1e-6)
    assert EmbeddingFolder.open(str(tmp_path), "embedding.x").dim == 1


@pytest.mark.parametrize("column", ["embedding", "id", "other", "part"])
def test_columns_of_one_name_matter_only_where_they_are_read(tmp_path, column):
    rows, ids = lists(random_rows(3)), pa.array([7, 8, 9])
    twice = {"embedding": rows, "id": ids, "other": ids, "part": pa.StructArray.from_arrays([ids, ids], ["x", "x"])}
    names = ["embedding", "id", column]
    pq.write_table(pa.Table.from_arrays([twice[name] for name in names], names=names), tmp_path / "a.parquet")
    if column in ("embedding", "id"):
        assert f"a.parquet has 2 columns of the name {column!r}; rename all but one" in refused(tmp_path)
    else:
        vectors = EmbeddingFolder.open(str(tmp_path))
        assert all_rows(vectors).shape == (3, DIM)
        assert vectors.read_ids(0, 0).to_pylist() == [7, 8, 9]
    assert "has no column 'Embedding'; nearest valid name: embedding" in refused(tmp_path, "Embedding")


def test_a_sentence_names_a_dozen_of_many_columns(tmp_path):
    pq.write_table(pa.table({f"f{place}": [1.0] for place in range(768)}), tmp_path / "a.parquet")
    assert "it has f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11 and 756 more: where each number" in refused(tmp_path)


@pytest.mark.parametrize(
    ("spoilt", "layout", "says"),
    [(None, pa.list_(pa.float32()), "is null"), ([], pa.list_(pa.float32()), "has 0 numbers where others have 6"),
     ([1.0] * 5, pa.large_list(pa.float64()), "has 5 numbers where others have 6"),
     pytest.param(None, pa.list_(pa.float32(), DIM), "is null", marks=pytest.mark.skipif(
         int(pa.__version__.split(".")[0]) < 18, reason="older pyarrow writes no null among vectors of fixed length")),
     ([1.0] * 16, pa.list_(pa.float32()), "has 16 numbers where others have 6")],
)  # fmt: skip
def test_one_row_of_another_length_among_many_is_named(tmp_path, spoilt, layout, says):
    rows = [*random_rows(17).tolist(), spoilt, *random_rows(7).tolist()]  # 16 numbers make a whole number of them a row
    write(tmp_path / "a.parquet", random_rows(10))
    write(tmp_path / "x.parquet", pa.array(rows, layout))
    assert f"row 17 of x.parquet, the first of them, {says}; mend or remove them" in refused(tmp_path)
    (tmp_path / "a.parquet").unlink()
    assert f"row 17 of x.parquet, the first of them, {says}; mend or remove them" in refused(tmp_path)


def test_ids_of_two_kinds_are_refused_by_both_files(tmp_path):
    write(tmp_path / "a.parquet", random_rows(3), id=[1, 2, 3])
    write(tmp_path / "b.parquet", random_rows(3), id=["1", "2", "3"])
    said = refused(tmp_path)
    assert f"ids 'id' are integers in {tmp_path}/a.parquet and strings in {tmp_path}/b.parquet; write one kind" in said
    write(tmp_path / "b.parquet", random_rows(3))
    assert f"{tmp_path}/b.parquet has no column 'id'" in refused(tmp_path)
    write(tmp_path / "0.parquet", random_rows(3))
    assert f"{tmp_path}/0.parquet has no column 'id'" in refused(tmp_path)  # the first file's too


STRING_IDS = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
if int(pa.__version__.split(".", maxsplit=1)[0]) >= 20:  # which writes them
    STRING_IDS.append(pa.string_view())
INTEGER_IDS = [pa.int8(), pa.uint32(), pa.int64(), pa.uint64(), pa.dictionary(pa.int32(), pa.int16())]


@pytest.mark.parametrize(("kinds", "values", "read"), [(STRING_IDS, "aba", pa.string()), (INTEGER_IDS, (3, 1, 3), pa.int64())])
def test_ids_of_one_kind_are_of_one_type_whatever_they_were(tmp_path, kinds, values, read):
    for place, kind in enumerate(kinds):
        plain = pa.array(list(values), kind.value_type if pa.types.is_dictionary(kind) else kind)
        ids = plain.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else plain
        write(tmp_path / f"{place}.parquet", random_rows(3), id=ids, group=2)
    vectors = EmbeddingFolder.open(str(tmp_path))
    for shard in range(len(kinds)):
        ids = [vectors.read_ids(shard, group) for group in range(2)]
        assert [each.type for each in ids] == [read, read]
        assert pa.chunked_array(ids).to_pylist() == list(values)
    assert vectors.repeated_ids() == (2, repr(values[0]))


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("ids", [["a", "b", None, "d"], [0, 1, None, 3], pa.array(["a", "b", None, "d"]).dictionary_encode()])
def test_a_row_without_an_id_is_named(tmp_path, ids, statistics):
    table = pa.table({"embedding": lists(np.tile(random_rows(4), (5, 1))), "id": pa.chunked_array([pa.array(ids)] * 5)})
    whole = table.filter(pa.compute.is_valid(table["id"]))
    pq.write_table(whole, tmp_path / "a.parquet", row_group_size=4, write_statistics=statistics)
    assert EmbeddingFolder.open(str(tmp_path)).repeated_ids()[0] == 3
    pq.write_table(table[4:], tmp_path / "b.parquet", row_group_size=5, write_statistics=statistics)
    assert f"row 2 of {tmp_path}/b.parquet has no id: its 'id' is null; give it one, or set --id" in refused(tmp_path)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("is_dictionary", [True, False])
def test_an_unsigned_id_is_taken_up_to_what_int64_holds(tmp_path, statistics, is_dictionary):
    numbers = pa.array([1, 2**63 - 1, 7, 2**63, 2**64 - 1], pa.uint64())
    ids = numbers.dictionary_encode() if is_dictionary else numbers
    table = pa.table({"embedding": lists(random_rows(5)), "id": ids})
    pq.write_table(table[:3], tmp_path / "a.parquet", write_statistics=statistics)
    assert EmbeddingFolder.open(str(tmp_path)).read_ids(0, 0).to_pylist() == [1, 2**63 - 1, 7]
    pq.write_table(table, tmp_path / "b.parquet", row_group_size=2, write_statistics=statistics)
    assert f"row 3 of {tmp_path}/b.parquet has an id of 2^63 or more" in refused(tmp_path)


def test_a_file_without_rows_says_nothing_of_types(tmp_path):
    pq.write_table(pa.table({"embedding": pa.array([], pa.null())}), tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", random_rows(3), id=["a", "b", "c"])
    assert EmbeddingFolder.open(str(tmp_path)).rows == 3


@pytest.fixture
def small_pieces(monkeypatch):
    """Row groups of more than 4 rows are large, and are read 3 rows at a time."""
    monkeypatch.setattr(embedding_folder, "WHOLE_BYTES", 4 * DIM * 8)
    monkeypatch.setattr(embedding_folder, "STREAMED_BYTES", 3 * DIM * 8)


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_large_row_groups_are_read_in_pieces(tmp_path, small_pieces, layout):
    rows = random_rows(24)
    write(tmp_path / "a.parquet", layout(rows))
    vectors = EmbeddingFolder.open(str(tmp_path))
    assert vectors.large_groups == 2
    assert [vectors.is_large(0, group) for group in range(3)] == [True, True, False]
    read = [each for group in range(3) for each in vectors.pieces(0, group)]
    assert [len(piece) for piece, _ in read] == [3, 3, 3, 1] * 2 + [4]
    np.testing.assert_allclose(np.concatenate([piece for piece, _ in read]), unit(rows), atol=1e-6)
    assert np.concatenate([places for _, places in read]).tolist() == list(range(24))
    wanted = np.array([9, 0, 4, 4, 2])
    some, places = vectors.read(0, 1, wanted)
    np.testing.assert_allclose(some, unit(rows)[10 + wanted], atol=1e-6)
    assert places.tolist() == (10 + wanted).tolist()
    np.testing.assert_allclose(all_rows(vectors), unit(rows), atol=1e-6)
    around = vectors.in_form(RowForm("euclidean", (1.0,) * DIM, 2.0))
    np.testing.assert_allclose(all_rows(around), (rows - 1) / 2, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([piece for piece, _ in around.pieces(0, 1)]), (rows[10:20] - 1) / 2, rtol=1e-6)


@pytest.mark.parametrize("spoilt", [SPOILT["nan"], SPOILT["infinity"], SPOILT["null number"]])
def test_a_row_without_a_distance_is_named_and_one_of_zeros_is_read(tmp_path, spoilt):
    rows = [[0.0] * DIM, *random_rows(5).tolist(), spoilt]
    write(tmp_path / "a.parquet", pa.array(rows, pa.list_(pa.float32(), DIM)))
    vectors = EmbeddingFolder.open(str(tmp_path)).in_form(RowForm("euclidean", (1.0,) * DIM, 2.0))
    place = first_spoilt(*vectors.read(0, 0))
    assert place == 6
    assert f"row 6 of {tmp_path}/a.parquet has no distance to others" in str(vectors.refusal(place))


@pytest.mark.parametrize("lanes", [range(2), range(1, 2)])
def test_a_stream_of_large_row_groups_has_the_same_batches(tmp_path, monkeypatch, lanes):
    write(tmp_path / "a.parquet", random_rows(90), group=30)
    vectors = EmbeddingFolder.open(str(tmp_path))
    reader = VectorReader(vectors, EpochOrder(vectors, StreamShape(8, 2, 8), seed=0, epoch=0), lanes)
    numbers = {"id": np.arange(len(reader.spans))}
    before = list(reader(numbers))
    monkeypatch.setattr(embedding_folder, "WHOLE_BYTES", 1)
    monkeypatch.setattr(embedding_folder, "STREAMED_BYTES", 7 * DIM * 8)
    for one, other in zip(before, reader(numbers), strict=True):
        assert all((one[name] == other[name]).all() for name in ("step", "id", "vector"))
