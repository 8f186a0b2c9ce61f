"""Rows as users of scikit-learn give them: checked, on the device, with their lengths and weights.

Shapes: n rows, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data
from torch import Tensor

from algos.estimator.geometry import row_lengths, undirected_row
from algos.estimator.given_arrays import as_array, table_of

LEAST_WEIGHT = 1e-9  # of the mean; less is lost in float32


@dataclass(frozen=True)
class Table:
    """Rows and what is known of each.

    Attributes:
        rows: (n, D) float32 or float64.
        lengths: (n, 1) of the rows where only directions count, else `None`.
        weights: (n,) float64, none below zero and not all zero; `None` where each row counts 1.
    """

    rows: Tensor
    lengths: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def weight(self) -> float:
        """Of all rows together."""
        return float(len(self) if self.weights is None else self.weights.sum())

    def at(self, index: Tensor) -> Table:
        """Some of the rows, by their places (m,)."""
        lengths, weights = (None if each is None else each.index_select(0, index) for each in (self.lengths, self.weights))
        return Table(self.rows.index_select(0, index), lengths, weights)

    def counted(self) -> Tensor | None:
        """Places (m,) of the rows that count for anything; `None` where all do."""
        if self.weights is None:
            return None
        places = torch.arange(len(self), device=self.rows.device)
        while True:
            weights = self.weights[places]
            counts = weights > LEAST_WEIGHT * weights.mean()
            if bool(counts.all()):
                return places if len(places) < len(self) else None
            places = places[counts]

    def counting(self) -> tuple[Table, float]:
        """The rows that count for anything, with weights of mean 1 (none where all count alike), and the mean before."""
        if self.weights is None:
            return self, 1
        places = self.counted()
        if places is not None:
            return self.at(places).counting()
        mean = float(self.weights.mean())
        alike = bool((self.weights == self.weights[0]).all())
        return replace(self, weights=None if alike else self.weights / mean), mean

    def without(self, places: Tensor) -> Table:
        """The rows but for some, with weights as they are."""
        if len(places) == 0:
            return self
        stays = torch.ones(len(self), dtype=torch.bool, device=self.rows.device)
        stays[places] = False
        return self.at(stays.nonzero()[:, 0])


def read_table(estimator: Any, data: ArrayLike | Tensor, *, reset: bool, sample_weight: ArrayLike | None = None) -> Table:
    """Check what `fit` and its like were given.

    Args:
        estimator: whose `device` and `metric` hold, and whose number of features is checked.
        data: (n, D) array or tensor, or a column of n vectors, as pandas reads it from Parquet, alone or as a table of one
            column; half precision becomes float32, other types that are no float32 float64.
        reset: whether the number of features is learned, not checked, and some row must have a weight.
        sample_weight: (n,), one number for all rows, or `None`.

    Raises:
        TypeError: for tensors that are not dense, or hold no numbers.
        ValueError: for data or weights that are not finite, masked, of a wrong shape or below zero, vectors beside other columns,
            and rows without a direction.
    """
    geometry = None if reset else getattr(estimator, "_geometry", None)
    device = estimator.device if geometry is None else geometry.origin.device
    if isinstance(data, Tensor):
        device = data.device if device is None else device
        data = as_array(data, "X")
    if np.ma.is_masked(data):  # which scikit-learn would take for what lies below the mask
        raise ValueError("X has masked numbers; fill them in, or remove their rows")
    data = table_of(data, "X")
    kept = [np.float64, np.float32, np.float16]  # others become the first
    checked = validate_data(estimator, data, reset=reset, dtype=kept, order="C", force_writeable=True)
    checked = checked.astype(np.float32) if checked.dtype == np.float16 else checked
    try:
        rows = torch.from_numpy(checked).to(device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).split("\n", maxsplit=1)[0]
        raise ValueError(f"device {device} cannot be used ({said}); choose another, or none") from error
    if rows.is_meta:
        raise ValueError("device meta cannot be used (it holds no numbers); choose another, or none")
    spherical = estimator.metric == "cosine" if geometry is None else geometry.spherical
    lengths = row_lengths(rows) if spherical else None
    if lengths is not None and (row := undirected_row(lengths)) is not None:
        why = f"it is all zeros, or too short or too long for {rows.dtype}"
        raise ValueError(f"row {row} has no direction: {why}; remove such rows or set metric='euclidean'")
    return Table(rows, lengths, None if sample_weight is None else _weights(sample_weight, rows, some=reset))


def _weights(given: Any, rows: Tensor, *, some: bool) -> Tensor | None:
    """Weights of rows, of which `some` must count: there is nothing else to learn from yet."""
    if np.ma.is_masked(given):
        raise ValueError("sample_weight has masked numbers; give 0 for rows that do not count")
    given = np.full(len(rows), given) if isinstance(given, Real) else as_array(given, "sample_weight")
    weights = check_array(given, ensure_2d=False, dtype=np.float64, force_writeable=True, input_name="sample_weight")
    if weights.ndim != 1:
        raise ValueError(f"sample_weight has shape {weights.shape}; give one number a row")
    check_consistent_length(rows, weights)
    if weights.min() < 0 or (some and not weights.any()):
        raise ValueError("sample_weight must not be below zero, nor zero for every row")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(f"sample_weight sums to more than float64 holds (largest {weights.max():g}); divide it by its maximum")
    return None if (weights == 1).all() else torch.from_numpy(weights).to(rows.device)
