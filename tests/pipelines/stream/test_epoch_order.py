"""The order of an epoch: complete, reproducible, and the same for every worker count."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.datasets.image_shards import Split
from pipelines.datasets.shard_files import Shard
from pipelines.errors import UserError
from pipelines.stream import epoch_order
from pipelines.stream.epoch_order import EpochOrder, GroupTable, StreamShape, lanes_of_worker, steps_of_part


def make_split(*shards: tuple[int, int]) -> Split:
    """Shards of (rows, rows of a row group)."""
    described = [Shard(f"{i}.parquet", 1, rows, group_rows, "") for i, (rows, group_rows) in enumerate(shards)]
    return Split(sum(rows for rows, _ in shards), described, [])


def lane_steps(order: EpochOrder, split: Split, lane: int, start_step: int = 0) -> dict[int, list[int]]:
    """The rows (numbered through the split) of one lane in each step of the windows from `start_step` on."""
    first_row = np.cumsum([0, *(shard.rows for shard in split.shards)])
    found = {}
    for window, steps in order.windows(start_step):
        rows = np.full(len(steps) * order.shape.lane_rows, -1)
        for piece in order.pieces(lane, window, steps):
            assert piece.rows.max() < split.shards[piece.shard].row_groups[piece.row_group]
            rows[piece.places] = first_row[piece.shard] + piece.row_group * split.shards[piece.shard].group_rows + piece.rows
        found |= dict(zip(steps, rows.reshape(len(steps), -1).tolist(), strict=True))
    return found


def batches(order: EpochOrder, split: Split, lanes: range) -> dict[int, list[int]]:
    """Rows of each step in some lanes, lane after lane."""
    by_lane = [lane_steps(order, split, lane) for lane in lanes]
    return {step: [row for lane in by_lane for row in lane[step]] for step in range(order.steps)}


SPLIT = make_split((500, 64), (500, 64), (123, 50))
SHAPE = StreamShape(batch_size=48, lanes=8, window=20)


def epoch_of(seed: int, epoch: int) -> dict[int, list[int]]:
    return batches(EpochOrder(SPLIT, SHAPE, seed=seed, epoch=epoch), SPLIT, range(8))


@settings(max_examples=150, deadline=None)
@given(
    shards=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 17)), min_size=1, max_size=5),
    lanes=st.integers(1, 6),
    lane_rows=st.integers(1, 7),
    window=st.integers(1, 40),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_every_row_comes_once_but_for_the_counted_rest(shards, lanes, lane_rows, window, seed, epoch):
    split, shape = make_split(*shards), StreamShape(lanes * lane_rows, lanes, window)
    if split.rows < shape.batch_size:
        with pytest.raises(UserError, match="exceeds"):
            EpochOrder(split, shape, seed=seed, epoch=epoch)
        return
    order = EpochOrder(split, shape, seed=seed, epoch=epoch)
    steps = batches(order, split, range(lanes))
    rows = [row for step in steps.values() for row in step]
    assert [len(step) for step in steps.values()] == [shape.batch_size] * order.steps
    assert len(set(rows)) == len(rows) == split.rows - order.left_out
    assert set(rows) <= set(range(split.rows))
    assert 0 <= order.left_out < shape.batch_size


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_global_batches_are_the_same_for_any_worker_count(workers):
    order = EpochOrder(SPLIT, SHAPE, seed=5, epoch=2)
    by_worker = [batches(order, SPLIT, lanes_of_worker(8, rank, workers)) for rank in range(workers)]
    joined = {step: [row for worker in by_worker for row in worker[step]] for step in range(order.steps)}
    assert joined == epoch_of(5, 2)


def test_the_order_follows_from_seed_and_epoch_alone():
    assert epoch_of(1, 3) == epoch_of(1, 3)
    different = [epoch_of(1, 3), epoch_of(1, 4), epoch_of(2, 3), epoch_of(3, 1)]
    assert all(one[0] != other[0] for i, one in enumerate(different) for other in different[i + 1 :])


def test_the_rows_left_out_change_with_the_epoch():
    def left_out(epoch):
        return set(range(SPLIT.rows)) - {row for step in epoch_of(0, epoch).values() for row in step}

    assert len(left_out(0)) == 1123 % 48
    assert left_out(0) != left_out(1)


def test_an_order_that_travelled_to_a_task_is_the_same():
    order = pickle.loads(pickle.dumps(EpochOrder(SPLIT, SHAPE, seed=1, epoch=3)))
    assert batches(order, SPLIT, range(8)) == epoch_of(1, 3)


def test_a_wide_window_mixes_rows_of_different_row_groups_into_a_step():
    order = EpochOrder(SPLIT, StreamShape(16, 1, 256), seed=0, epoch=0)
    for rows in list(lane_steps(order, SPLIT, 0).values())[:10]:
        assert len({row // 64 for row in rows}) >= 3
        assert sorted(rows) != rows


def test_the_rows_of_a_window_come_from_few_row_groups():
    order = EpochOrder(SPLIT, SHAPE, seed=0, epoch=0)
    assert SHAPE.window_steps == 4
    for window, steps in order.windows():
        assert len(order.pieces(3, window, steps)) <= 2


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 22])
def test_windows_from_a_step_continue_the_whole_epoch(start):
    order = EpochOrder(SPLIT, SHAPE, seed=9, epoch=1)
    whole, tail = lane_steps(order, SPLIT, 6), lane_steps(order, SPLIT, 6, start)
    assert order.steps == 23
    assert start - SHAPE.window_steps < min(tail) <= start
    assert tail == {step: rows for step, rows in whole.items() if step >= min(tail)}


def test_windows_at_the_end_of_the_epoch_are_none():
    order = EpochOrder(SPLIT, StreamShape(100, 4, 25), seed=0, epoch=0)
    assert list(order.windows(order.steps)) == []


@pytest.mark.parametrize(("window", "steps"), [(1, 1), (6, 1), (7, 2), (256, 43)])
def test_a_window_spans_as_many_steps_as_its_rows_need(window, steps):
    assert StreamShape(48, 8, window).window_steps == steps


def test_random_numbers_of_different_uses_differ():
    order = EpochOrder(SPLIT, SHAPE, seed=0, epoch=0)
    generators = [
        order.generator(0, 0),
        order.generator(0, 0, use=1),
        order.generator(0, 1),
        order.generator(1, 0),
        order.step_generator(0),
        order.step_generator(1),
        EpochOrder(SPLIT, SHAPE, seed=0, epoch=1).step_generator(0),
    ]
    assert len({generator.random() for generator in generators}) == len(generators)


@given(lanes=st.integers(1, 40), data=st.data())
def test_workers_share_all_lanes_evenly(lanes, data):
    workers = data.draw(st.integers(1, lanes))
    shares = [lanes_of_worker(lanes, rank, workers) for rank in range(workers)]
    assert [lane for share in shares for lane in share] == list(range(lanes))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_workers_than_lanes_are_refused():
    with pytest.raises(UserError, match=r"5 workers, but stream\.lanes is 4"):
        lanes_of_worker(4, 0, 5)


@pytest.mark.parametrize("lanes", [0, -2, 5, 96])
def test_a_batch_that_lanes_cannot_share_is_refused(lanes):
    with pytest.raises(UserError, match=rf"batch_size 48 is not a multiple of stream\.lanes {lanes}"):
        StreamShape(48, lanes, 10)


FILES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 17)), min_size=1, max_size=5)


def pieces_of_lists(split: Split, shape: StreamShape, seed: int, epoch: int, lane: int, window: int, steps: range):
    """The pieces as the order of version 1 defines them, by a list of all row groups."""
    groups = [(s, g, rows) for s, shard in enumerate(split.shards) for g, rows in enumerate(shard.row_groups)]
    order = [groups[number] for number in np.random.default_rng((seed, epoch)).permutation(len(groups))]
    line = [(s, g, row) for s, g, rows in order for row in range(rows)]
    first = (lane * shape.steps(split.rows) + steps.start) * shape.lane_rows
    mine = line[first : first + len(steps) * shape.lane_rows]
    places = np.random.default_rng((seed, epoch, 1 + lane, window, 0)).permutation(len(mine))
    return dict(zip(places.tolist(), mine, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    shards=FILES, lanes=st.integers(1, 4), lane_rows=st.integers(1, 7), window=st.integers(1, 20), seed=st.integers(0, 2**40),
    draw=st.data(),
)  # fmt: skip
def test_the_order_is_that_of_its_version_and_a_part_of_it_is_the_same(shards, lanes, lane_rows, window, seed, draw):
    split, shape = make_split(*shards), StreamShape(lanes * lane_rows, lanes, window)
    assume(split.rows >= shape.batch_size)
    order = EpochOrder(split, shape, seed=seed, epoch=7)
    start = draw.draw(st.integers(0, order.steps - 1))
    steps = range(start, draw.draw(st.integers(start + 1, order.steps)))
    some = range(draw.draw(st.integers(0, lanes - 1)), lanes)
    part = order.part(range(lanes), range(order.steps)).part(some, steps)
    windows = list(part.windows(start))
    assert windows == [one for one in order.windows(start) if one[1].start < steps.stop]
    read = set[int]()
    for lane in some:
        for number, these in windows:
            expected = pieces_of_lists(split, shape, seed, 7, lane, number, these)
            for known in (order, part):
                found = {
                    place: (piece.shard, piece.row_group, row)
                    for piece in known.pieces(lane, number, these)
                    for place, row in zip(piece.places.tolist(), piece.rows.tolist(), strict=True)
                }
                assert found == expected
            read |= {shard for shard, _, _ in expected.values()}
    assert set(part.files.tolist()) >= read
    assert order.files.tolist() == list(range(len(shards)))


def test_a_part_knows_no_other_lane():
    part = EpochOrder(SPLIT, SHAPE, seed=0, epoch=0).part(range(2, 4), range(3))
    with pytest.raises(KeyError, match="other lanes"):
        part.pieces(0, *part.window(0))


def test_what_is_sent_of_a_part_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(epoch_order, "PART_GROUPS", 2000)
    shape, sizes = StreamShape(1024, 8, 256), []
    for shards in (1000, 4000):
        table = GroupTable.of(make_split(*[(1216, 38)] * shards))
        order = EpochOrder(table, shape, seed=0, epoch=0)
        steps = range(min(steps_of_part(table, shape, 1), order.steps))
        sizes.append(len(pickle.dumps(order.part(range(3, 4), range(order.steps)).part(range(3, 4), steps))))
    assert sizes[1] == pytest.approx(sizes[0] + 8 * 3000, abs=2000)  # a number of each file
    assert sizes[0] == pytest.approx((4 + 8) * 2000 + 8 * 1000, abs=2000)
