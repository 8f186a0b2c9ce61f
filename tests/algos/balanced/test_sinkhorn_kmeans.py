"""The clustering core with balanced plans: shares, queue, state and workers."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from algos.balanced.sinkhorn import balancing_prices
from algos.balanced.sinkhorn_kmeans import SinkhornKMeans
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans


def lumps(batches, rows=16, seed=0):
    """Batches of unit rows, nine in ten of which lie near one direction."""
    random = torch.Generator().manual_seed(seed)
    made = torch.randn(batches, rows, 5, generator=random)
    made[:, : rows * 9 // 10, 0] += 4
    return F.normalize(made, dim=2)


def kmeans(heads=(4, 3), **settings):
    return SinkhornKMeans(list(heads), 5, batch_size=16, seed=1, **settings)


def test_a_lump_is_shared_out_where_the_nearest_center_takes_it_whole():
    rows = lumps(1, 64)[0]
    start = F.normalize(torch.tensor([[1.0, 0, 0, 0, 0], [-1, 0.1, 0, 0, 0], [-1, 0, 0.1, 0, 0], [-1, 0, 0, 0.1, 0]]), dim=1)
    nearest = OnlineConstrainedKMeans([4], 5, min_size_ratio=0.0, initial_centers=start).assign_batch(rows)[0]
    balanced = kmeans([4], iterations=20, initial_centers=start).assign_batch(rows)[0]
    assert nearest.bincount(minlength=4).max() > 50
    assert balanced.bincount(minlength=4).max() < 32  # a label is a row's largest entry: near 16, but not exactly
    assert balanced.bincount(minlength=4).min() > 8


def test_rows_outside_a_batch_go_to_their_nearest_center():
    core, rows = kmeans(), lumps(2)
    core.partial_fit(rows[0])
    expected = [(rows[1] @ centers.T).argmax(dim=1) for centers in core.per_head(core.centers)]
    assert torch.equal(core.assign(rows[1]), torch.stack(expected))
    assert core.prices.tolist() == [0.0] * 7


def test_centers_move_by_their_rows_as_in_the_core():
    core, plain, rows = kmeans(), OnlineConstrainedKMeans([4, 3], 5, min_size_ratio=0.0, seed=1), lumps(3)
    for batch in rows:
        labels = core.partial_fit(batch)
        plain.collect(batch, labels)
        plain.begin_update()
        plain.finish_update()
    assert torch.equal(core.centers, plain.centers)
    assert [head.counts.sum() for head in core.end_epoch()] == [48, 48]


def test_the_queue_takes_part_once_it_is_full_and_holds_the_newest_batches():
    core, rows = kmeans([4], queued_batches=2), lumps(4)
    for step, batch in enumerate(rows):
        seen = batch if step < 2 else torch.cat([batch, rows[step - 1], rows[step - 2]])
        [prices] = balancing_prices([seen @ core.centers.T], epsilon=0.05, iterations=3)
        expected = ((batch @ core.centers.T).double() + prices).argmax(dim=1)
        assert torch.equal(core.partial_fit(batch)[0], expected), step


def test_micro_batches_enter_the_queue_as_one_batch():
    core, rows = kmeans(queued_batches=2), lumps(1)[0]
    for micro in rows.split(8):
        core.collect(micro, core.assign_batch(micro))
    core.begin_update()
    core.finish_update()
    core.exchange()
    assert torch.equal(core.queue[0], rows)
    assert int(core.queued) == 1


def test_a_stored_state_goes_on_bit_for_bit():
    straight, rows = kmeans(queued_batches=2), lumps(6)
    for batch in rows[:3]:
        straight.partial_fit(batch)
    straight.exchange()
    resumed = kmeans(queued_batches=2, initial_centers=torch.eye(7, 5))
    resumed.load_state_dict(straight.state_dict())
    for batch in rows[3:]:
        assert torch.equal(straight.partial_fit(batch), resumed.partial_fit(batch))
    assert torch.equal(straight.centers, resumed.centers)


def _learn(state, batches):
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    core = kmeans(queued_batches=2)
    if state is not None:
        core.load_state_dict(state)
    labels = [core.partial_fit(batch.tensor_split(workers)[rank]) for batch in batches]
    core.exchange()
    return torch.stack(labels), core.state_dict()


def test_workers_equal_one_process_and_go_on_from_each_others_state(gloo):
    rows = lumps(6)
    labels, state = _learn(None, rows[:3])
    more, end = _learn(state, rows[3:])
    shares = gloo(2, _learn, None, rows[:3])
    assert torch.equal(torch.cat([share for share, _ in shares], dim=2), labels)
    again = gloo(2, _learn, state, rows[3:])  # one worker's state
    assert torch.equal(torch.cat([share for share, _ in again], dim=2), more)
    assert torch.equal(_learn(shares[1][1], rows[3:])[0], more)  # two workers' state
    for _, other in again:
        torch.testing.assert_close(other["centers"], end["centers"])


@pytest.mark.parametrize(
    "settings", [{"epsilon": 0.001}, {"iterations": 0}, {"spherical": False}, {"max_size_ratio": 2.0}], ids=str
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"epsilon|iterations|spherical"):
        kmeans(**settings)


def test_weights_are_refused():
    with pytest.raises(ValueError, match="every row once"):
        kmeans().partial_fit(lumps(1)[0], torch.ones(16))
