"""What to say of clusters outside the bounds that were promised, and of rows that stand in their way.

Shapes: n rows, D features, K clusters.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from algos.estimator.geometry import Geometry, split

LEVEL = 3  # of the stack: who called `fit`
NEARLY = 1e-9  # relative; a smaller miss is rounding


def warn_of_missed_bounds(
    counts: NDArray[Any], least: float, most: float, distinct: Callable[[], int] | None, *, advice: str, level: int = LEVEL
) -> None:
    """Warn where a cluster lies outside its bounds, or where rows are too few to tell all clusters apart.

    Args:
        counts: (K,) rows, or weight, of each cluster.
        least: that each was to get.
        most: that each was to get; may be infinite.
        distinct: counts the different rows; `None` where nobody can know.
        advice: what brings more clusters within their bounds.
        level: of the stack, from here to who called the estimator.
    """
    clusters, lacking = len(counts), int((counts < least * (1 - NEARLY)).sum())
    over = int((counts > most * (1 + NEARLY)).sum())
    if not lacking and not over and counts.min() > 0:
        return
    found = clusters if distinct is None else distinct()
    few = f"X has {found} distinct row{'s' * (found != 1)} for n_clusters={clusters}" if found < clusters else ""
    said = [f"the smallest cluster has {counts.min():.10g} and the minimum is {least:.10g}, which {lacking} of {clusters} miss"]
    said += [f"the largest cluster has {counts.max():.10g} and the maximum is {most:.10g}, which {over} of {clusters} exceed"]
    said = [each for each, misses in zip(said, (lacking, over), strict=True) if misses]
    if said:
        why = f"{few}: choose fewer, or exact=True, which parts copies of one row" if few else advice
        warnings.warn(f"{', and '.join(said)}; {why}", ConvergenceWarning, stacklevel=level)
    elif few:
        warnings.warn(f"{few}, so {int((counts == 0).sum())} are empty; choose fewer", ConvergenceWarning, stacklevel=level)


def warn_of_stream(counts: NDArray[Any], min_ratio: float, max_ratio: float | None) -> None:
    """Warn of a cluster of a stream that has less than half of its minimum, or more than twice its maximum.

    Args:
        counts: (K,) rows, or weight, given to each cluster so far.
        min_ratio: the minimum as a share of the mean.
        max_ratio: the maximum likewise; `None` for none.
    """
    mean = counts.sum() / len(counts)
    least, most = min_ratio * mean, math.inf if max_ratio is None else max_ratio * mean
    if counts.min() < least / 2 or counts.max() > most * 2:
        advice = "raise dual_lr, or lower min_size_ratio or n_clusters"
        advice += "" if most == math.inf else ", or raise max_size_ratio"
        warn_of_missed_bounds(counts, least, most, None, advice=advice, level=LEVEL + 1)


def sizes_in_words(counts: NDArray[Any], least: float, most: float) -> str:
    """Smallest cluster and minimum, and where there is a maximum the largest one and that."""
    said = f"smallest cluster {counts.min():.10g} rows, minimum {least:.10g}"
    return said if most == math.inf else f"{said}, largest {counts.max():.10g}, maximum {most:.10g}"


def warn_of_far_rows(far: NDArray[np.int64], rows: int) -> None:
    """Say which rows nothing was learned from; `far` holds their places (m,)."""
    if len(far) == 0:
        return
    first = ", ".join(map(str, far[:3].tolist())) + (", ..." if len(far) > 3 else "")
    said = f"{len(far)} of {rows} rows ({first}) lie far from the others and are too few for a cluster of the minimum size"
    how = "they get labels, but centers and prices are learned without them; remove or rescale them, or set min_size_ratio=0"
    warnings.warn(f"{said}: {how}", UserWarning, stacklevel=LEVEL + 1)


def warn_of_equal_centers(centers: Tensor) -> None:
    """Say where a stream starts with fewer different centers (K, D) than clusters."""
    found = len(centers.unique(dim=0))
    if found < len(centers):
        said = f"the first batch gave {found} distinct centers for n_clusters={len(centers)}"
        warnings.warn(f"{said}; begin with a batch of more distinct rows, or choose fewer", ConvergenceWarning, stacklevel=LEVEL)


def distinct_rows(rows: Tensor, geometry: Geometry) -> int:
    """How many different rows there are, or directions, by their products with one random vector."""
    vector = torch.randn(rows.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(rows.device)
    products = [(geometry.prepare(piece.double()) * vector).sum(dim=1) for piece in split(rows, rows.shape[1])]
    found = torch.cat(products)
    if geometry.spherical:
        found = found.round(decimals=12)  # copies of another length differ in the last bits
    return len(np.unique(found.numpy(force=True)))
