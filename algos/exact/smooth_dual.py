"""Prices by Newton's method on a smoothed dual, sharper and sharper.

The dual of the assignment program, sum_i max_k (s_ik + p_k) - sum_k (p_k^+ least_k - p_k^- most_k), has kinks wherever a row
changes its cluster. With a softmax of width epsilon for the maximum it is smooth: its gradient is the expected sizes less the
wanted ones, and its Hessian the Laplacian of a graph of clusters that share rows, which is sparse. Shares are float32.

Source of the smoothing: Cuturi, Sinkhorn distances, NeurIPS 2013. Shapes: n rows, C listed clusters of each, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg
from torch import Tensor

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

SHARED = 0.02  # share of a row that its second cluster must have for the two to be neighbours in the Hessian
STEPS, TRIES = 6, 3  # of Newton at each width, and lengths of each step
DAMPING = 1e-3  # of the Hessian, in rows of a cluster
STRIDE = 8  # most widths that a step moves a price


@dataclass(frozen=True)
class Smoothed:
    """The dual's value at some prices but for a constant, the rows' shares (C, n) of their clusters, and sizes (K,)."""

    value: float
    shares: Tensor
    sizes: Numbers


@dataclass(frozen=True)
class SmoothDual:
    """The smoothed dual on lists of clusters.

    Attributes:
        values: (n, C) similarities of the listed clusters.
        indices: (n, C) which they are.
        least: (K,) rows wanted at least, also of a part of all rows.
        most: (K,) rows wanted at most.
        lowest: (K,) prices that none goes below.
        highest: (K,) prices that none goes above.
    """

    values: Tensor
    indices: Tensor
    least: Numbers
    most: Numbers
    lowest: Numbers
    highest: Numbers

    def minimum(self, prices: Numbers, widest: float, narrowest: float) -> Numbers:
        """Prices (K,) near the least dual at the narrowest width, by way of wider ones, each a third of the one before."""
        width = widest
        while True:
            prices = self._descend(prices, width)
            if width <= narrowest:
                return prices
            width = max(width / 3, narrowest)

    def at(self, prices: Numbers, width: float) -> Smoothed:
        """The dual at prices (K,)."""
        leads, listed = self._by_place
        priced = torch.from_numpy(prices).float().take(listed).add_(leads).div_(width)
        shares = priced.softmax(dim=0)
        # The logarithm of a sum of exponentials, of the largest one and its share: `logsumexp` takes many times as long.
        best = width * float((priced.amax(dim=0) - shares.amax(dim=0).log()).sum(dtype=torch.float64))
        granted = float(prices.clip(min=0) @ self.least + prices.clip(max=0) @ self.most)
        return Smoothed(best - granted, shares, self._per_cluster(shares))

    @cached_property
    def _by_place(self) -> tuple[Tensor, Tensor]:
        """Similarities less the greatest of each row, which keeps float32 precise, and their clusters: by place in the list.

        Both (C, n): what is taken over lists of a few is faster so.
        """
        leads = (self.values - self.values.amax(dim=1, keepdim=True)).float()
        return leads.T.contiguous(), self.indices.T.contiguous()

    def _per_cluster(self, shares: Tensor) -> Numbers:
        """Sums (K,) of what the listed clusters have (C, n)."""
        sums: Numbers = self._by_place[1].view(-1).bincount(shares.double().view(-1), minlength=len(self.least)).numpy()
        return sums

    def _descend(self, prices: Numbers, width: float) -> Numbers:
        here, damping = self.at(prices, width), DAMPING
        for _ in range(STEPS):
            lacking = self._lacking(here.sizes, prices)
            if np.abs(lacking).sum() < len(self.values) / 500:
                break
            direction = self._newton(here, lacking, (prices != 0) | (lacking != 0), width, damping)
            for length in 0.25 ** np.arange(TRIES):
                moved = self._moved(prices, (length * direction).clip(-STRIDE * width, STRIDE * width))
                there = self.at(moved, width)
                if there.value < here.value:
                    break
            else:
                break
            damping = damping / 4 if length == 1 else damping * 4
            prices, here = moved, there
        return prices

    def _lacking(self, sizes: Numbers, prices: Numbers) -> Numbers:
        """Rows (K,) that clusters lack (positive) or have too many: as their prices want it."""
        wanted = np.where(prices > 0, self.least, np.where(prices < 0, self.most, sizes.clip(self.least, self.most)))
        return wanted - sizes

    def _moved(self, prices: Numbers, step: Numbers) -> Numbers:
        """Prices after a step, at zero where they would pass it: another bound begins there."""
        moved = (prices + step).clip(self.lowest, self.highest)
        return np.where(moved * prices < 0, 0.0, moved)

    def _newton(self, here: Smoothed, lacking: Numbers, free: NDArray[np.bool_], width: float, damping: float) -> Numbers:
        """The step (K,) of the free prices that the damped Hessian asks for."""
        shares, clusters = here.shares, len(lacking)
        at = ((shares > SHARED) & (shares < 1 - SHARED)).nonzero(as_tuple=True)
        arcs = shares[at].double().numpy(), (at[1].numpy(), self._by_place[1][at].numpy())
        shared = sparse.csr_matrix(arcs, shape=(len(self.values), clusters))
        both = (shared.T @ shared).tocsr()
        both.setdiag(0)
        own = self._per_cluster(shares * (1 - shares))
        own += damping * np.maximum(here.sizes, self.least) + 1e-9
        hessian = (sparse.diags(own) - both).tocsr()[free][:, free] / width
        step = np.zeros(clusters)
        step[free] = cg(hessian, lacking[free], rtol=0.01, maxiter=100, M=sparse.diags(1 / hessian.diagonal()))[0]
        return step
