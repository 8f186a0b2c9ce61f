"""The clustering core: hand-computed steps, recorded reference runs, an exact oracle, properties, and real collectives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from tests.helpers.inputs.oracle import best_total

CLUSTERINGS = ["coke_single_view", "coke_single_view_balanced", "coke_two_view", "coke_single_view_averaged"]


def test_a_cluster_above_its_maximum_is_priced_out():
    start = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    kmeans = OnlineConstrainedKMeans([2], 2, min_size_ratio=0.0, max_size_ratio=1.5, dual_lr=2.0, initial_centers=start)
    rows = torch.tensor([[0.8, 0.6]]).repeat(4, 1)
    assert kmeans.partial_fit(rows)[0].tolist() == [0] * 4  # share 1 of at most .75: sigma rises by 2 * .25
    assert kmeans.prices.tolist() == [-0.5, 0.0]
    assert kmeans.partial_fit(rows)[0].tolist() == [1] * 4  # .8 + .2 * .. - .5 against .6
    assert kmeans.max_duals.tolist() == [0.0, 0.5]  # falls by 2 * .75, and not below zero


def test_a_maximum_that_never_binds_changes_no_bit():
    rows = F.normalize(torch.randn(8, 40, 6, generator=torch.Generator().manual_seed(2)), dim=2)
    free, bounded = (OnlineConstrainedKMeans([4], 6, max_size_ratio=most, dual_lr=2.0) for most in (None, 4.0))
    for batch in rows:
        assert torch.equal(free.partial_fit(batch), bounded.partial_fit(batch))
    assert torch.equal(free.centers, bounded.centers)
    assert torch.equal(free.prices, bounded.prices)
    assert set(bounded.state_dict()) - set(free.state_dict()) == {"max_duals", "start_max_duals"}


@pytest.mark.parametrize(("most", "prices"), [(1.5, [0.5, -0.25, 0.0]), (None, [0.75, 0.0, 0.25])])
def test_signed_prices_are_taken_up_by_the_bounds_that_there_are(most, prices):
    kmeans = OnlineConstrainedKMeans([3], 2, max_size_ratio=most)
    kmeans.take_prices(torch.tensor([0.5, -0.25, 0.0]))
    assert kmeans.prices.tolist() == prices  # without a maximum only differences count
    assert bool((kmeans.duals >= 0).all())


@pytest.mark.parametrize("most", [None, 1.2])
def test_weights_count_as_repeated_rows_in_every_head(most):
    rows, times = F.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), dim=1), torch.arange(20) % 4
    once, again = (OnlineConstrainedKMeans([3, 2], 4, max_size_ratio=most, dual_lr=0.5) for _ in range(2))
    for _ in range(3):
        once.partial_fit(rows, times.double())
        again.partial_fit(rows.repeat_interleave(times, dim=0))
    for name, value in once.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("most", [None, 1.2])
@pytest.mark.parametrize("ratio", [0.4, 1.0])
def test_a_batch_of_no_weight_teaches_nothing(most, ratio):
    rows = F.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    once, again = (OnlineConstrainedKMeans([3, 2], 4, min_size_ratio=ratio, max_size_ratio=most, dual_lr=0.5) for _ in range(2))
    for weightless in (rows, rows[:0]):  # a worker may have no row at all
        once.partial_fit(rows)
        again.partial_fit(rows)
        again.partial_fit(weightless, torch.zeros(len(weightless), dtype=torch.float64))
    for name, value in once.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, again.state_dict()[name]), name
    for ours, theirs in zip(once.end_epoch(), again.end_epoch(), strict=True):
        assert ours.figures() == theirs.figures()


@pytest.mark.parametrize("name", CLUSTERINGS)
def test_golden_clustering_is_replayed(golden, name):
    data, meta = golden(name)
    kmeans = OnlineConstrainedKMeans(
        meta["K"], meta["d"], min_size_ratio=meta["ratio"], dual_lr=meta["dual_lr"],
        average_from=meta["stage"] if meta["stage"] < 1000 else None,
    )  # fmt: skip
    heads = range(len(meta["K"]))
    start = torch.cat([data[f"init_centers_{j}"] for j in heads])
    kmeans.centers.copy_(start)
    kmeans.epoch_centers.copy_(start)
    for epoch, batches in enumerate(data["feats"]):
        for step, rows in enumerate(batches):
            labels = kmeans.partial_fit(rows)
            for j in heads:
                assert torch.equal(labels[j], data[f"labels_{j}"][epoch, step])
                for mine, theirs in ((kmeans.duals, "duals"), (kmeans.counts.float(), "counts"), (kmeans.centers, "centers")):
                    torch.testing.assert_close(kmeans.per_head(mine)[j], data[f"{theirs}_{j}"][epoch, step], atol=1e-5, rtol=1e-5)
        for summary in kmeans.end_epoch():
            assert summary.slack >= -1e-3
        for j in heads:
            torch.testing.assert_close(
                kmeans.per_head(kmeans.epoch_centers)[j], data[f"epoch_centers_{j}"][epoch], atol=1e-5, rtol=1e-5
            )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]))
def test_permuting_clusters_permutes_everything(seed, ratio):
    generator = torch.Generator().manual_seed(seed)
    first, second = (OnlineConstrainedKMeans([6], 4, min_size_ratio=ratio, dual_lr=1.0, seed=seed) for _ in range(2))
    order = torch.randperm(6, generator=generator)
    second.centers.copy_(first.centers[order])
    for _ in range(5):
        rows = F.normalize(torch.randn(17, 4, generator=generator), dim=1)
        assert torch.equal(first.partial_fit(rows)[0], order[second.partial_fit(rows)[0]])
    torch.testing.assert_close(first.duals[order], second.duals)
    torch.testing.assert_close(first.centers[order], second.centers)


def test_euclidean_centers_are_plain_means_and_the_nearest_wins():
    start = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    kmeans = OnlineConstrainedKMeans([2], 2, min_size_ratio=0.0, initial_centers=start, spherical=False)
    # (4, 3) has the larger dot product with (10, 0) but lies nearer to (0, 0).
    assert kmeans.partial_fit(torch.tensor([[4.0, 3.0], [2.0, 1.0], [9.0, 1.0]]))[0].tolist() == [0, 0, 1]
    torch.testing.assert_close(kmeans.centers, torch.tensor([[3.0, 2.0], [9.0, 1.0]]))
    assert kmeans.partial_fit(torch.tensor([[0.0, 2.0]]))[0].tolist() == [0]
    torch.testing.assert_close(kmeans.centers[0], torch.tensor([2.0, 2.0]))
    assert start.tolist() == [[0.0, 0.0], [10.0, 0.0]]


@pytest.mark.parametrize(("spherical", "expected"), [(True, [[0.6, 8.0]]), (False, [[-0.1, -0.5]])])
def test_a_row_is_close_to_a_center_by_cosine_or_by_minus_half_the_squared_distance(spherical, expected):
    start = torch.tensor([[1.0, 0.0], [0.0, 10.0]])
    kmeans = OnlineConstrainedKMeans([2], 2, initial_centers=start, spherical=spherical)
    rows = torch.tensor([[0.6, 0.2], [1.0, 10.0]]) if not spherical else torch.tensor([[0.6, 0.8], [0.6, 0.8]])
    torch.testing.assert_close(kmeans.similarity(rows, torch.tensor([[0, 1]])), torch.tensor(expected))
    kmeans.duals.copy_(torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(
        kmeans.similarity(rows, torch.tensor([[0, 1]]), priced=True), torch.tensor(expected) + torch.tensor([[1.0, 2.0]])
    )


@pytest.mark.parametrize(("ratio", "expected"), [(0.4, [0.0, 0.75, 0.25, 0.0]), (1.0, [-0.5, 0.25, 0.25, 0.0])])
def test_a_start_from_other_clusters_keeps_labels_numbers_and_the_certificate(ratio, expected):
    first = OnlineConstrainedKMeans([2, 2], 4, min_size_ratio=1.0, seed=1)
    first.duals.copy_(torch.tensor([-0.5, 0.25, 0.25, 0.0]))
    second = OnlineConstrainedKMeans([2, 2], 4, min_size_ratio=ratio, seed=2)
    second.start_from(first.centers, first.duals)
    assert second.duals.tolist() == expected
    rows = F.normalize(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    assert torch.equal(first.assign(rows), second.assign(rows))
    second.partial_fit(rows)
    assert all(abs(float(summary.slack)) < 0.01 for summary in second.end_epoch())  # rows: nothing but rounding


def test_clusters_without_a_hit_keep_their_center_bit_for_bit():
    kmeans = OnlineConstrainedKMeans([8], 4, min_size_ratio=0.0)
    before = kmeans.centers.clone()
    label = int(kmeans.partial_fit(before[:1])[0, 0])
    others = [k for k in range(8) if k != label]
    assert torch.equal(kmeans.centers[others], before[others])


@pytest.mark.parametrize(("ratio", "most"), [(0.5, None), (1.0, None), (0.0, 1.5), (0.5, 1.5), (0.0, 1.2)])
def test_online_duals_approach_the_exact_optimum(ratio, most):
    # Fixed centers and a skewed stream: averaged over many passes, prices alone must come close to the LP with the same bounds.
    generator = torch.Generator().manual_seed(3)
    clusters, n = 5, 60
    kmeans = OnlineConstrainedKMeans([clusters], 3, min_size_ratio=ratio, max_size_ratio=most, dual_lr=0.1, seed=3)
    rows = F.normalize(torch.randn(n, 3, generator=generator) + torch.tensor([1.5, 0.0, 0.0]), dim=1)
    centers = kmeans.centers.clone()
    values, counts = [], []
    for _ in range(400):
        labels = kmeans.partial_fit(rows)[0]
        values.append(float((rows * centers[labels]).sum()))
        counts.append(torch.bincount(labels, minlength=clusters))
        kmeans.centers.copy_(centers)
    greatest = n if most is None else most * n / clusters
    optimum = best_total((rows @ centers.T).double().numpy(), ratio * n / clusters, greatest)
    plain = float((rows @ centers.T).max(dim=1).values.sum())
    late = torch.stack(counts[200:]).double().mean(dim=0)
    assert late.min() >= ratio * n / clusters * 0.97
    assert late.max() <= greatest * 1.03
    assert np.mean(values[200:]) == pytest.approx(optimum, rel=0.01)
    assert optimum < plain - 0.5  # the minimum costs something here, so the test can fail


def _cluster_shard(rows: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Every rank takes its uneven slice of each global batch; with a lower bound, with equality, with both, and by distance."""
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    results = []
    for least, most, spherical in ((0.4, None, True), (1.0, None, True), (0.4, 1.5, True), (0.4, 1.5, False)):
        kmeans = OnlineConstrainedKMeans(
            [7, 4], rows.shape[-1], min_size_ratio=least, max_size_ratio=most, dual_lr=3.0, seed=1, spherical=spherical
        )
        labels = [kmeans.partial_fit(batch.tensor_split([11, 20, 30][: workers - 1])[rank]) for batch in rows]
        kmeans.end_epoch()
        results.append((torch.stack(labels), kmeans.prices, kmeans.epoch_centers))
    return results


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_equal_one_process(gloo, workers):
    rows = F.normalize(torch.randn(12, 37, 6, generator=torch.Generator().manual_seed(5)), dim=2)
    by_rank = gloo(workers, _cluster_shard, rows)
    for case, (labels, duals, centers) in enumerate(_cluster_shard(rows)):
        assert torch.equal(torch.cat([results[case][0] for results in by_rank], dim=2), labels)
        for results in by_rank:
            assert torch.equal(results[case][1], duals)
            assert torch.equal(results[case][2], centers)


@pytest.mark.parametrize("spherical", [True, False])
def test_collected_similarity_is_that_of_each_row_to_the_center_it_got(spherical):
    rows = F.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1)
    kmeans = OnlineConstrainedKMeans([3, 2], 4, spherical=spherical, average_from=1 if spherical else None, dtype=torch.float64)
    for _ in range(2):  # the second epoch assigns to averages
        labels = kmeans.assign(rows)
        for part in (slice(0, 8), slice(8, 20)):
            kmeans.collect(rows[part], labels[:, part])
        centers = kmeans.running_centers[labels + kmeans.offsets]
        expected = (rows * centers).sum() if spherical else (rows * centers - centers.square() / 2).sum()
        torch.testing.assert_close(kmeans.collected_similarity(), expected)
        kmeans.begin_update()
        kmeans.finish_update()
        kmeans.end_epoch()


def test_accumulated_batches_equal_the_whole_batch():
    rows = F.normalize(torch.randn(6, 30, 5), dim=2)
    whole, parts = (OnlineConstrainedKMeans([6], 5, dual_lr=3.0) for _ in range(2))
    for batch in rows:
        whole.partial_fit(batch)
        for part in batch.split(10):
            parts.collect(part, parts.assign(part))
        parts.begin_update()
        parts.finish_update()
    assert torch.equal(whole.centers, parts.centers)
    assert torch.equal(whole.duals, parts.duals)


@pytest.mark.parametrize("most", [None, 1.5])
def test_state_goes_on_in_mid_epoch_bit_for_bit(most):
    rows = F.normalize(torch.randn(20, 16, 4), dim=2)
    straight = OnlineConstrainedKMeans([5, 3], 4, max_size_ratio=most, dual_lr=2.0, average_from=1)
    for step, batch in enumerate(rows):
        if step == 13:
            resumed = OnlineConstrainedKMeans([5, 3], 4, max_size_ratio=most, dual_lr=2.0, average_from=1, seed=9)
            resumed.load_state_dict(straight.state_dict())
            assert resumed.averaging
        labels = straight.partial_fit(batch)
        if step >= 13:
            assert torch.equal(resumed.partial_fit(batch), labels)
        if step % 5 == 4:
            straight.end_epoch()
            if step >= 13:
                resumed.end_epoch()
    for name, tensor in straight.state_dict().items():
        assert (
            tensor == resumed.state_dict()[name] if isinstance(tensor, dict) else torch.equal(tensor, resumed.state_dict()[name])
        )


def test_another_number_of_clusters_is_refused_in_words():
    with pytest.raises(ValueError, match=r"heads of \[5\] clusters.*asks for \[6\]"):
        OnlineConstrainedKMeans([6], 4).load_state_dict(OnlineConstrainedKMeans([5], 4).state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_size_ratio": 1.2}, "must lie in"),
        ({"max_size_ratio": 0.9}, "max_size_ratio is 0.9; it must be 1 or more"),
        ({"max_size_ratio": float("nan")}, "it must be 1 or more"),
        ({"num_clusters": []}, "at least one head"),
        ({"num_clusters": [0]}, "at least one"),
        ({"dual_lr": 0.0}, "must be positive"),
        ({"initial_centers": torch.zeros(3, 4)}, r"shape \(3, 4\); \(3, 2\) is needed"),
        ({"spherical": False, "average_from": 1}, "averages directions"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        OnlineConstrainedKMeans(**({"num_clusters": [3], "dim": 2} | arguments))
