"""Online constrained k-means on a GPU: no wait at a step, and the labels of a CPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.row_threads import RowThreads

pytestmark = pytest.mark.gpu

ROWS, DIM = 4096, 128
HEADS = [1000, 300]
KINDS = {
    "minimum": {"min_size_ratio": 0.4},
    "equal": {"min_size_ratio": 1.0},
    "both bounds": {"min_size_ratio": 0.4, "max_size_ratio": 2.0},
    "second stage": {"min_size_ratio": 0.4, "average_from": 1},
    "euclidean": {"min_size_ratio": 0.4, "max_size_ratio": 2.0, "spherical": False},
}


def rows(seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Unit vectors around some hundred directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(200, DIM, generator=torch.Generator().manual_seed(99), dtype=dtype)
    chosen = directions[torch.randint(200, (ROWS,), generator=generator)]
    return F.normalize(chosen + 0.7 * torch.randn(ROWS, DIM, generator=generator, dtype=dtype), dim=1)


def clustering(kind: str, dtype: torch.dtype = torch.float32) -> OnlineConstrainedKMeans:
    return OnlineConstrainedKMeans(HEADS, DIM, batches_per_epoch=4, dtype=dtype, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_waits_for_the_device(gpu, no_waiting, kind):
    kmeans, weights = clustering(kind).to(gpu), torch.rand(ROWS, device=gpu)
    batches = [rows(seed).to(gpu) for seed in range(3)]
    kmeans.partial_fit(batches[0])
    kmeans.end_epoch()
    with no_waiting():
        for batch in batches[1:]:
            labels = kmeans.partial_fit(batch)
            kmeans.similarity(batch, labels)
            kmeans.collected_similarity()
        kmeans.partial_fit(batches[0], weights)


@pytest.mark.parametrize("kind", KINDS)
def test_passes_in_float64_give_a_cpus_labels_sizes_and_prices(gpu, kind):
    here, there = clustering(kind, torch.float64), clustering(kind, torch.float64).to(gpu)
    for epoch in range(3):
        for batch in range(4):
            given = rows(10 * epoch + batch, torch.float64)
            assert torch.equal(here.partial_fit(given), there.partial_fit(given.to(gpu)).cpu())
        here.end_epoch()
        there.end_epoch()
    torch.testing.assert_close(there.centers.cpu(), here.centers)
    torch.testing.assert_close(there.prices.cpu(), here.prices)


def test_labels_in_float32_differ_from_a_cpus_at_ties_only(gpu):
    kmeans = clustering("both bounds")
    for seed in range(4):
        kmeans.partial_fit(rows(seed))
    given = rows(5)
    here = kmeans.assign(given)
    prices = [head.double() for head in kmeans.per_head(kmeans.priced(given), dim=1)]
    there, similarity = RowThreads(1).label(kmeans.to(gpu), given.to(gpu))
    assert similarity.shape == there.shape == (len(HEADS), ROWS)
    for mine, theirs, priced in zip(here, there.cpu(), prices, strict=True):
        gap = priced.gather(1, mine[:, None]) - priced.gather(1, theirs[:, None])
        assert gap.abs().max() < 1e-5
        assert (mine != theirs).float().mean() < 1e-3
