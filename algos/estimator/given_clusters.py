"""Clusters that an estimator is given to start from: those of a fitted one, or centers with prices.

Shapes: D features, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from torch import Tensor

from algos.estimator.given_arrays import as_array
from algos.kmeans.batches import LEAST_BATCHES


@dataclass(frozen=True)
class GivenClusters:
    """Centers and prices in units of the data.

    Attributes:
        centers: (K, D).
        prices: (K,) float64.
        shares: (K,) float64 of the rows that each cluster had; they sum to 1.
        passes: over rows that made the prices what they are.
    """

    centers: NDArray[Any]
    prices: NDArray[np.float64]
    shares: NDArray[np.float64]
    passes: int

    @classmethod
    def of(cls, init: Any, metric: str, max_iter: int) -> GivenClusters | None:
        """What `init` gives; `None` for a way to draw rows, and for centers alone, which are first centers like others.

        Args:
            init: as the estimator has it.
            metric: of the estimator.
            max_iter: of the estimator; so many passes are taken to have made prices that come without an estimator.

        Raises:
            ValueError: for an estimator that is not fitted or of another metric, and for prices of another number.
        """
        if hasattr(init, "get_params"):
            return cls._fitted(init, metric)
        if not (isinstance(init, tuple) and len(init) == 2 and np.ndim(init[0]) == 2):
            return None
        centers = np.asarray(as_array(init[0], "init"))
        given = as_array(init[1], "init[1]")
        prices = check_array(given, ensure_2d=False, dtype=np.float64, input_name="init, its prices,")
        if prices.shape != (len(centers),):
            raise ValueError(f"init has prices of shape {prices.shape} for {len(centers)} centers; give one for each")
        return cls(centers, prices, np.full(len(centers), 1 / len(centers)), max_iter if prices.any() else 0)

    @classmethod
    def _fitted(cls, init: Any, metric: str) -> GivenClusters:
        if not hasattr(init, "cluster_centers_"):
            raise ValueError(f"init is a {type(init).__name__} that is not fitted; fit it, or give centers")
        made = "cosine" if init._geometry.spherical else "euclidean"
        if made != metric:
            raise ValueError(f"init was fitted with metric={made!r}, this has {metric!r}; use the same")
        shares = init.counts_ / init.counts_.sum()
        return cls(init.cluster_centers_, init.duals_, shares, getattr(init, "n_iter_", init.n_steps_ // LEAST_BATCHES))

    def rows(self, total: float) -> Tensor:
        """Rows (K,) float64 of each cluster where there are `total`, at least 1."""
        return torch.from_numpy(np.maximum(np.floor(self.shares * total), 1.0))

    @property
    def steps(self) -> int:
        """Batches of a stream that would have made the prices."""
        return self.passes * LEAST_BATCHES
