"""What a pass over fixed rows begins with and leaves behind."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.kmeans.batches import batch_rows
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.passes import CARRIED, PATIENCE, Passes, Settling


@pytest.mark.parametrize(
    ("rows", "clusters", "expected"), [(100, 3, 256), (20_000, 100, 625), (20_000, 3000, 3000), (10**7, 100, 8192)]
)
def test_batches_of_a_32nd_within_limits(rows, clusters, expected):
    assert batch_rows(rows, clusters) == expected


def test_steps_fall_and_the_next_pass_starts_from_a_tenth_of_the_rows():
    rows = F.normalize(torch.randn(400, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    kmeans = OnlineConstrainedKMeans([5], 6, dual_lr=0.3)
    passes = Passes(kmeans)
    for number in range(3):
        passes.begin(number)
        torch.testing.assert_close(kmeans.dual_lr, torch.full((5,), 0.3 / (number + 1)))
        began = passes.carried.clone()
        labels = torch.cat([kmeans.partial_fit(batch)[0] for batch in rows.split(100)])
        given, summaries = passes.end()
        assert torch.equal(given, labels.bincount(minlength=5))  # rows of this pass alone
        assert torch.equal(summaries[0].counts, given + began)
        assert torch.equal(kmeans.counts, given // CARRIED)


def test_finished_centers_begin_each_pass_at_the_weight_of_their_rows_and_steps_go_on_falling():
    kmeans = OnlineConstrainedKMeans([1], 1, dual_lr=0.6, initial_centers=torch.zeros(1, 1), spherical=False)
    passes = Passes(kmeans, before=5)
    passes.carry(torch.tensor([4.0]))
    for number, center in enumerate([0.5, 0.75]):  # each time the mean of four old rows and four new ones at 1
        passes.begin(number)
        torch.testing.assert_close(kmeans.dual_lr, torch.tensor([0.6 / (6 + number)]))
        kmeans.partial_fit(torch.ones(4, 1))
        given, _ = passes.end()
        assert given.tolist() == [4]
        torch.testing.assert_close(kmeans.centers, torch.tensor([[center]]))


def settled_after(passes: list[tuple[float, ...]], tol: float, duals: list[float]) -> int | None:
    settling = Settling(tol)
    for number, (similarity, lacking, *price) in enumerate(passes, start=1):
        settling.add(similarity, lacking, torch.tensor(price or duals))
        if settling.done:
            return number
    return None


def test_passes_settle_when_several_gain_nothing_over_the_best():
    assert settled_after([(0.5, 0)] * 9, 0.01, [0.0]) == 1 + PATIENCE
    assert settled_after([(0.5 + 0.02 * n, 0) for n in range(9)], 0.01, [0.0]) is None
    assert settled_after([(0.5 + 0.005 * n, 0) for n in range(9)], 0.01, [0.0]) is None  # every third gains over the best
    assert settled_after([(0.5, 0), (0.4, 0), (0.4, 0), (0.6, 0), (0.5, 0), (0.6, 0), (0.605, 0)], 0.01, [0.0]) == 7
    assert settled_after([(0.5, 0)] * 9, 0.0, [0.0]) is None


def test_rows_that_are_lacking_cost_the_highest_price():
    settles = [(0.5, 0.2), (0.48, 0.15), (0.46, 0.1), (0.44, 0.05)]  # similarity falls by 0.02, lacking rows by 0.05
    assert settled_after(settles, 1e-3, [0.1, 0.3]) == 4  # each pays 0.015 for 0.02
    assert settled_after(settles, 1e-3, [0.1, 0.5]) is None
    assert settled_after(settles, 1e-3, [-0.2, 0.3]) is None  # prices of equal sizes count from the lowest


def test_a_price_that_rises_makes_no_pass_worse_than_one_before():
    rising = [(0.8, 0.10 - 0.01 * n, 0.05 + 0.05 * n) for n in range(9)]  # fewer rows lacking each time, at no cost
    assert settled_after(rising, 1e-4, [0.0]) is None


def test_with_a_maximum_passes_go_on_while_they_come_nearer_to_the_bounds():
    free, bounded = Settling(1e-4), Settling(1e-4, bounded_above=True)
    done = {}
    for number, off in enumerate([0.5, 0.4, 0.3, 0.2, 0.1, 0.02, 0.009, 0.001, 0.001, 0.001], start=1):
        for name, settling in (("free", free), ("bounded", bounded)):
            settling.add(0.7, off, torch.tensor([1e-6, 0.0]))  # prices too small to weigh what is off
            if settling.done:
                done.setdefault(name, number)
    assert done == {"free": 1 + PATIENCE, "bounded": 6 + PATIENCE}  # the sixth is the last nearer one above a hundredth
