"""Rows and initial centers as the clustering core takes them: directions, or shifted and scaled rows in Euclidean geometry.

The core's prices compete with similarities, so they must have one unit: here similarities of rows of length 1, or of rows
whose mean square around their mean is 1. The shift also keeps float32 precise for data far from the origin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.cluster import kmeans_plusplus
from sklearn.utils import check_array
from torch import Tensor

from algos.estimator.given_arrays import as_array, table_of
from algos.kmeans.step_arithmetic import priced_similarities

SMALLEST = 1e-140  # scale of Euclidean rows, and one over the largest
FARTHEST = 1e12  # of a number of a prepared float32 row
NUMBERS_HELD = 1 << 22  # numbers held at once by a pass over all rows


@dataclass(frozen=True)
class Geometry:
    """How rows (n, D) become the core's rows, and centers and prices go back to the data's units.

    Attributes:
        spherical: whether only a row's direction counts.
        origin: (D,) subtracted from the rows; 0 if spherical.
        scale: divides the rows; 1 if spherical.
    """

    spherical: bool
    origin: Tensor
    scale: float

    @classmethod
    def of(cls, rows: Tensor, weights: Tensor | None = None, *, spherical: bool) -> Geometry:
        """The geometry of these rows (n, D) with weights (n,): their mean and root mean square around it, if not spherical.

        Raises:
            ValueError: for a root mean square whose square does not fit float64.
        """
        if spherical:
            return cls(spherical, torch.zeros_like(rows[0]), 1.0)
        origin = rows.mean(dim=0) if weights is None else (weights.to(rows.dtype) @ rows / weights.sum()).to(rows.dtype)
        if not bool(origin.isfinite().all()):  # a sum of float32 rows overflowed
            origin = (rows.double().mean(dim=0) if weights is None else weights.double() @ rows.double() / weights.sum()).to(rows)
        total = rows.new_zeros((), dtype=torch.float64)
        counting = rows.new_ones(()).expand(len(rows)) if weights is None else weights
        for piece, mine in zip(split(rows, rows.shape[1]), split(counting, rows.shape[1]), strict=True):
            total += (piece.double() - origin.double()).square().sum(dim=1) @ mine.double()
        scale = float((total / (len(rows) if weights is None else weights.sum())).sqrt())
        if not SMALLEST < scale < 1 / SMALLEST and bool((rows != origin).any()):
            how = "multiply" if scale <= SMALLEST else "divide"
            raise ValueError(
                f"X spreads by {scale:.3g} around its mean, whose square float64 does not hold; {how} it by 1e200 or so"
            )
        return cls(spherical, origin, scale or 1.0)

    def prepare(self, rows: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Rows (B, D) of the data for the core, in the dtype they have; `lengths` (B, 1) if they are known already."""
        if not self.spherical:
            return (rows - self.origin) / self.scale
        return rows / (row_lengths(rows) if lengths is None else lengths)

    def to_compare(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """As `prepare`, in a dtype, or in float64 where a row is so far out that float32 loses its similarities."""
        prepared = self.prepare(rows.to(dtype))
        if self.spherical or dtype == torch.float64 or float(prepared.abs().max()) < FARTHEST:
            return prepared
        return self.prepare(rows.double())

    def restore(self, centers: Tensor) -> Tensor:
        """Centers (K, D) of the core in the data's units."""
        return centers * self.scale + self.origin

    def half_squares(self, prepared: Tensor) -> Tensor:
        """What each similarity lacks to minus half the squared distance, float64: |x|^2 / 2, (B,); or () 0 if spherical."""
        return prepared.new_zeros((), dtype=torch.float64) if self.spherical else prepared.double().square().sum(dim=1) / 2


def split(rows: Tensor, width: int) -> Iterator[Tensor]:
    """Views of the rows in pieces such that piece x width stays within `NUMBERS_HELD` numbers."""
    yield from rows.split(max(NUMBERS_HELD // width, 1))


def row_lengths(rows: Tensor) -> Tensor:
    """Lengths (n, 1) of the rows (n, D), as long as they fit the rows' dtype; NaN for a row of zeros."""
    lengths, width = rows.new_empty(len(rows), 1), rows.shape[1]
    for piece, mine in zip(split(rows, width), split(lengths, width), strict=True):
        largest = piece.abs().amax(dim=1, keepdim=True)  # without it the squares of float32 may overflow
        torch.mul(torch.linalg.vector_norm(piece / largest, dim=1, keepdim=True), largest, out=mine)
    return lengths


def undirected_row(lengths: Tensor) -> int | None:
    """First row without a direction, or `None`, by `row_lengths` (n, 1): one of zeros, or too short or too long for its dtype."""
    directed = (lengths >= torch.finfo(lengths.dtype).tiny) & lengths.isfinite()
    found = (~directed).nonzero()
    return int(found[0, 0]) if len(found) else None


def similarities_of(rows: Tensor, centers: Tensor, geometry: Geometry) -> Callable[..., Tensor]:
    """Similarities of indexed rows of the data and indexed prepared centers, on the CPU and in a dtype.

    In float64, which they have by themselves, because rows at the border of two clusters differ by less than float32 tells apart.
    """
    measured = (row_lengths(piece.double()) for piece in split(rows, rows.shape[1]))
    lengths = torch.cat(list(measured)) if geometry.spherical else None

    def similarities(index: Tensor, clusters: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        index = index.to(rows.device)
        prepared = geometry.prepare(rows[index].to(dtype), None if lengths is None else lengths[index].to(dtype))
        chosen = centers[clusters.to(rows.device)].to(dtype)
        return priced_similarities(prepared, chosen, chosen.new_zeros(()), spherical=geometry.spherical).cpu()

    return similarities


def initial_centers(
    init: str | ArrayLike,
    num_clusters: int,
    rows: Tensor,
    geometry: Geometry,
    random: np.random.RandomState,
    weights: Tensor | None = None,
) -> Tensor:
    """Prepared centers (K, D) to start from.

    Args:
        init: 'random' rows, 'k-means++' (Arthur and Vassilvitskii, SODA 2007) on a sample of 10 rows a cluster, or (K, D) in
            the data's units.
        num_clusters: K.
        rows: (n, D) of the data.
        geometry: of the rows.
        random: draws the rows.
        weights: (n,) above zero, by which rows are drawn; `None` for all alike.

    Raises:
        ValueError: for an array of another shape, with values that are not finite or whose squares are not, or, for directions,
            with a row that has none.
    """
    if not isinstance(init, str):
        table = table_of(as_array(init, "init"), "init")
        given = torch.from_numpy(check_array(table, dtype=np.float64, force_writeable=True, input_name="init")).to(rows)
        if given.shape != (num_clusters, rows.shape[1]):
            raise ValueError(f"init has shape {tuple(given.shape)}; {(num_clusters, rows.shape[1])} is needed")
        if geometry.spherical and (row := undirected_row(row_lengths(given))) is not None:
            raise ValueError(f"row {row} of init has no direction: it is all zeros, or too short or too long for {given.dtype}")
        prepared = geometry.prepare(given)
        if not (held := prepared.square().sum(dim=1).isfinite()).all():
            raise ValueError(
                f"row {int(held.int().argmin())} of init lies so far out that {given.dtype} does not hold its square"
            )
        return prepared
    if init == "random":
        return geometry.prepare(rows[_draw(num_clusters, rows, random, weights)])
    whole = weights is not None and len(rows) <= 20 * num_clusters  # a draw of so many would take light rows for heavy ones
    drawn = np.arange(len(rows)) if whole else _draw(10 * num_clusters, rows, random, weights)
    counting = weights.numpy(force=True) if whole and weights is not None else None
    sample = geometry.prepare(rows[drawn]).double()  # for which scikit-learn has the faster way
    centers, _ = kmeans_plusplus(sample.numpy(force=True), num_clusters, sample_weight=counting, random_state=random)
    return torch.from_numpy(centers).to(rows)


def _draw(most: int, rows: Tensor, random: np.random.RandomState, weights: Tensor | None) -> np.ndarray:
    """Places of different rows, so many or all."""
    if weights is None:
        return random.permutation(len(rows))[:most]
    chances = weights.numpy(force=True)
    return random.choice(len(rows), min(most, len(rows)), replace=False, p=chances / chances.sum())
