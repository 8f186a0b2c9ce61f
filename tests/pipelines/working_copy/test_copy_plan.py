"""The plan of a copy: every row goes to one part, and sizes are known before anything is read."""

from __future__ import annotations

import numpy as np

from pipelines.datasets.embedding_folder import EmbeddingFolder, VectorFile
from pipelines.files.location import Location
from pipelines.working_copy.copy_plan import CopyPlan, even


def plan_of(*files: tuple[int, ...], dim: int = 4, seed: int = 0) -> CopyPlan:
    """Of files with row groups of so many rows: parts of about 10 rows of 4 numbers, row groups of 4, blocks of about 25."""
    shards = [VectorFile(f"{number}.parquet", "", groups) for number, groups in enumerate(files)]
    vectors = EmbeddingFolder(Location.of("/nowhere"), "embedding", None, dim, shards)
    return CopyPlan(vectors, Location.of("/copy"), "float32", seed, part_bytes=160, group_bytes=64, block_rows=25)


def test_even_parts_differ_by_one_row_at_most():
    assert even(10, 3) == (3, 3, 4)
    assert even(2, 2) == (1, 1)
    assert even(0, 0) == ()


def test_each_part_gets_its_share_of_every_block_whatever_is_asked_for_at_once():
    plan = plan_of((30, 17), (0,), (56,))
    assert (plan.rows, plan.parts, plan.block) == (103, 10, 20)
    dealt = plan.deal(range(103))
    assert np.bincount(dealt).tolist() == [plan.part_rows(part) for part in range(10)] == [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]
    assert np.bincount(dealt[20:40]).tolist() == [2] * 10
    assert np.concatenate([plan.deal(range(start, min(start + 7, 103))) for start in range(0, 103, 7)]).tolist() == dealt.tolist()
    assert plan_of((30, 17), (0,), (56,), seed=1).deal(range(103)).tolist() != dealt.tolist()


def test_lots_are_all_places_once_and_none_crosses_a_span():
    plan = plan_of((30, 3), (0,), (5, 2, 4, 1))
    assert [(span.groups, span.start, span.rows) for span in plan.spans] == [
        (range(1), 0, 30), (range(1, 2), 30, 3), (range(3), 33, 11), (range(3, 4), 44, 1),
    ]  # fmt: skip
    assert list(plan.all_lots) == [
        range(10), range(10, 20), range(20, 30), range(30, 33), range(33, 44), range(44, 45),
    ]  # fmt: skip


def test_what_is_planned_has_all_rows_in_small_row_groups():
    plan = plan_of((103,))
    planned = plan.planned()
    assert planned.rows == 103
    assert {rows for file in planned.shards for rows in file.row_groups} == {3, 4}
    assert planned.shards[0].row_groups == (3, 4, 4)
