"""Which row of near-duplicates is kept."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curation.duplicates.keep_order import KeepOrder, check_column, keep_order
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError


def vectors(folder, **columns):
    rows = len(next(iter(columns.values())))
    pq.write_table(pa.table({"embedding": [[1.0, 2.0]] * rows, **columns}), folder / "a.parquet", row_group_size=3)
    return EmbeddingFolder.open(str(folder))


def order_of(found, order, similarity):
    ranks = [order.ranks(pa.array(similarity[3 * group :][:3]), found, 0, group, 0) for group in range(2)]
    table = pa.table({"rank": pa.chunked_array(ranks), "place": range(6)})
    return order.sorted(table)["place"].to_pylist()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (KeepOrder("farthest"), [2, 0, 5, 1, 4, 3]),
        (KeepOrder("nearest"), [3, 1, 4, 0, 5, 2]),
        (KeepOrder("first"), [0, 1, 2, 3, 4, 5]),
        (KeepOrder(column="stars"), [3, 0, 4, 1, 2, 5]),
        (KeepOrder(column="stars", ascending=True), [1, 0, 4, 3, 2, 5]),
        (KeepOrder(column="day", ascending=True), [5, 4, 3, 2, 1, 0]),
        (KeepOrder(column="name"), [4, 1, 0, 2, 3, 5]),
    ],
)
def test_rows_come_in_the_order_that_is_asked_for_and_equal_ones_by_their_places(tmp_path, order, expected):
    days = [datetime.date(2026, 1, day) for day in (6, 5, 4, 3, 2, 1)]
    names = pa.array(["b", "c", "a", "a", "d", None]).dictionary_encode()
    found = vectors(tmp_path, stars=[2.0, 1.0, float("nan"), 3.0, 2.0, None], day=days, name=names)
    assert order_of(found, order, [0.2, 0.5, 0.1, 0.9, 0.5, 0.2]) == expected


ORDERED = [
    pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.decimal128(30, 2), pa.decimal256(40, 2), pa.string(),
    pa.large_string(), pa.dictionary(pa.int8(), pa.large_string()), pa.time64("us"), pa.timestamp("us", "UTC"), pa.duration("s"),
]  # fmt: skip
if int(pa.__version__.split(".", maxsplit=1)[0]) >= 20:  # which writes them
    ORDERED.append(pa.string_view())


@pytest.mark.parametrize("kind", ORDERED, ids=str)
def test_every_type_that_has_an_order_is_taken(tmp_path, kind):
    stored = pa.string() if "string" in str(kind) else pa.int64()
    found = vectors(tmp_path, rank=pa.array([3, 1, 2, None, 3, 1]).cast(stored).cast(kind))
    check_column(found, "rank")
    assert order_of(found, KeepOrder(column="rank"), [0.0] * 6) == [0, 4, 2, 1, 5, 3]


@pytest.mark.parametrize(
    "values", [[["a"], ["b"]], [b"a", b"b"], pa.array([b"a", b"b"], pa.large_binary()), pa.array([b"a", b"b"], pa.binary(1))]
)
def test_a_column_without_an_order_is_refused(tmp_path, values):
    found = vectors(tmp_path, tags=values)
    with pytest.raises(UserError, match=r"column 'tags' of .*a.parquet is .*, which has no order"):
        check_column(found, "tags")
    with pytest.raises(UserError, match="has no column 'tagz'; nearest valid name: tags"):
        check_column(found, "tagz")


def test_a_column_of_two_types_is_refused(tmp_path):
    for name, value in (("a", 1), ("b", "one")):
        pq.write_table(pa.table({"embedding": [[1.0]], "rank": [value]}), tmp_path / f"{name}.parquet")
    with pytest.raises(UserError, match=r"column 'rank' is int64 in a.parquet and string in b.parquet"):
        check_column(EmbeddingFolder.open(str(tmp_path)), "rank")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": "nearst"}, "--keep is 'nearst'; nearest valid name: nearest"),
        ({"keep": "first", "column": "stars"}, "are two orders; give one"),
        ({"ascending": True}, "--ascending is the order of a column"),
        ({"keep": "farthest", "clustered": False}, "embeddings have none"),
    ],
)
def test_orders_that_are_none_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        keep_order(**{"keep": None, "column": None, "ascending": False, "clustered": True} | options)
    assert str(keep_order(None, None, ascending=False, clustered=True)) == "farthest from its center"
