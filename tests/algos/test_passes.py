"""What a pass over fixed rows begins with and leaves behind."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.constrained_kmeans import ConstrainedKMeans
from algos.passes import CARRIED, Passes, batch_rows


@pytest.mark.parametrize(
    ("rows", "clusters", "expected"), [(100, 3, 256), (20_000, 100, 625), (20_000, 3000, 3000), (10**7, 100, 8192)]
)
def test_batches_of_a_32nd_within_limits(rows, clusters, expected):
    assert batch_rows(rows, clusters) == expected


def test_steps_fall_and_the_next_pass_starts_from_a_tenth_of_the_rows():
    rows = F.normalize(torch.randn(400, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    kmeans = ConstrainedKMeans([5], 6, dual_lr=0.3)
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
