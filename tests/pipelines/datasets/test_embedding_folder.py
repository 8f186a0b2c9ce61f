"""Folders of vectors: what is read, in which place, and the sentence for what cannot be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder, first_without_direction, unit_rows
from pipelines.errors import UserError
from pipelines.stream.epoch_order import EpochOrder, StreamShape

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


def test_another_column_of_ids_can_be_named(tmp_path):
    write(tmp_path / "a.parquet", random_rows(3), id=[1, 2, 3], name=["a", "b", "c"])
    assert EmbeddingFolder.open(str(tmp_path), id_column="name").read_ids(0, 0).to_pylist() == ["a", "b", "c"]


def test_a_row_whose_squares_overflow_has_a_direction():
    rows = unit_rows(lists(np.array([[3e30, 4e30], [3e-30, 4e-30]], np.float32)), 2)
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
    assert first_without_direction(*vectors.read(1, 0)) is None
    place = first_without_direction(*vectors.read(1, 1))
    assert place == 29
    assert f"row 19 of {tmp_path}/b.parquet has no direction" in str(vectors.refusal(place))


def test_rows_that_differ_in_length_but_not_on_average_are_named_when_they_are_read():
    rows = unit_rows(pa.array([[1.0, 2.0, 3.0], [1.0], [1.0, 0.0]], pa.list_(pa.float32())), 2)
    assert first_without_direction(rows, np.arange(3)) == 0
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
