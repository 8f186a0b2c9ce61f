"""The certificate of the minimum sizes: by hand, as an equality where nothing is clamped, and over any stream."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.kmeans.certificate import margins
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans


def test_a_price_bounds_what_its_cluster_lacks():
    raised, dual_lr = torch.tensor([0.5, 0.0, -0.2]), torch.tensor([0.1, 0.1, 0.2])
    missing = torch.tensor([3.0, -1.0, -1.0], dtype=torch.float64)  # of 10 rows a batch: 30 too few, 10 too many, 10 too many
    found = margins(raised, dual_lr, missing, torch.tensor(10.0))
    torch.testing.assert_close(found, torch.tensor([20.0, 10.0, 0.0], dtype=torch.float64), atol=1e-5, rtol=0)


def test_equality_makes_the_certificate_an_equality(golden):
    data, meta = golden("coke_single_view_balanced")
    kmeans = OnlineConstrainedKMeans(meta["K"], meta["d"], min_size_ratio=1.0, dual_lr=meta["dual_lr"])
    for rows in data["feats"][0]:
        kmeans.partial_fit(rows)
    counts, duals = kmeans.counts.clone(), kmeans.duals.clone()
    (summary,) = kmeans.end_epoch()
    shortfall = summary.min_size - counts.double()
    torch.testing.assert_close(shortfall, 32 / meta["dual_lr"] * duals.double(), atol=1e-4, rtol=0)
    assert abs(float(summary.slack)) < 1e-3


unit_batches = st.tuples(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(2, 5),
    st.sampled_from([(0.0, None), (0.4, None), (1.0, None), (0.0, 1.0), (0.4, 1.7), (1.0, 3.0)]),
    st.integers(0, 10_000),
)


@settings(max_examples=60, deadline=None)
@given(unit_batches)
def test_certificate_holds_for_any_stream(case):
    rows, clusters, dim, (ratio, most), seed = case  # K > B, a batch of one and empty clusters among them
    generator = torch.Generator().manual_seed(seed)
    kmeans = OnlineConstrainedKMeans([clusters, 3], dim, min_size_ratio=ratio, max_size_ratio=most, dual_lr=2.0, seed=seed)
    for _ in range(3):
        for _ in range(4):
            labels = kmeans.partial_fit(F.normalize(torch.randn(rows, dim, generator=generator), dim=1))
            assert labels.shape == (2, rows)
        counts = kmeans.counts.clone()
        assert all(int(head.sum()) == 4 * rows for head in kmeans.per_head(counts))
        duals = kmeans.duals.clone()
        assert ratio == 1.0 or bool((duals >= 0).all())
        raised = (duals - kmeans.start_duals).double()
        raised_above = (kmeans.max_duals - kmeans.start_max_duals).double() if kmeans.bounded_above else raised
        for summary, head_raised, head_above, head_counts in zip(
            kmeans.end_epoch(), *map(kmeans.per_head, (raised, raised_above, counts)), strict=True
        ):
            bound = summary.min_size - head_counts.double() - rows / 2.0 * head_raised
            assert float(bound.max()) <= 1e-3
            assert float(summary.slack) == pytest.approx(-float(bound.max()), abs=1e-3)
            if kmeans.bounded_above:
                above = head_counts.double() - summary.max_size - rows / 2.0 * head_above
                assert float(summary.slack_above) == pytest.approx(-float(above.max()), abs=1e-3)
                assert float(above.max()) <= 1e-3
            else:
                assert (summary.max_size, float(summary.slack_above)) == (float("inf"), float("inf"))
        torch.testing.assert_close(kmeans.centers.norm(dim=1), torch.ones(clusters + 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("clusters", [3, 7, 10, 30])
def test_bounds_are_of_the_ratios_as_given_and_not_of_their_float32(clusters):
    rows = F.normalize(torch.randn(10 * clusters, 4), dim=1)
    bounds = {}
    for least, most in ((1.0, None), (0.5, 1.0)):
        kmeans = OnlineConstrainedKMeans([clusters], 4, min_size_ratio=least, max_size_ratio=most)
        kmeans.collect(rows, (torch.arange(len(rows)) % clusters)[None])
        kmeans.begin_update()
        kmeans.finish_update()
        (summary,) = kmeans.end_epoch()
        bounds[least] = (summary.min_size, summary.max_size)
        assert float(summary.off_bounds(summary.counts)) == 0
    assert bounds == {1.0: (10, float("inf")), 0.5: (5, 10)}
