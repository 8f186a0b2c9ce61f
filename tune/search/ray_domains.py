"""Ray Tune's own domains of the axes of a space, for searchers and for populations."""

from __future__ import annotations

from typing import Any

import ray.tune

from tune.search.space import Axis


def domain(axis: Axis) -> Any:
    """Where values of an axis are drawn from."""
    if axis.kind in ("grid", "choice"):
        return ray.tune.choice(axis.values)
    low, high = axis.values
    if axis.kind == "integers":
        return ray.tune.randint(low, high + 1)
    return ray.tune.uniform(low, high) if axis.kind == "uniform" else ray.tune.loguniform(low, high)
