"""How a method's rows find their clusters, by its setting `assignment`; free of torch.

- `constrained`: the clustering core with its bounds and their duals, learned over the epoch. The methods as published.
- `sinkhorn`: SwAV's balanced plan of each batch.
- `none`: the nearest center; plain online k-means, which is the core with a minimum of 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

from algos.balanced.plan_settings import EPSILON, ITERATIONS, LEAST_EPSILON
from algos.check_ranges import require_positive, require_size_ratios
from algos.idle_settings import Idle, other_than

Assignment = Literal["constrained", "sinkhorn", "none"]

IDLE_DUAL_LR = Idle(("dual_lr",), {"min_size_ratio": other_than(0), "max_size_ratio": other_than(None)}, "give a bound to price")


class AssignmentSettings(Protocol):
    """The keys of a method's settings that say how its rows are assigned."""

    @property
    def usual_ratio(self) -> float:
        """The method's own minimum share, where `min_size_ratio` is null."""

    @property
    def assignment(self) -> Assignment:
        """Which of the three."""

    @property
    def min_size_ratio(self) -> float | None:
        """A cluster's minimum share of the rows times K."""

    @property
    def max_size_ratio(self) -> float | None:
        """A cluster's maximum likewise."""

    @property
    def dual_lr(self) -> float | None:
        """Step size of the duals."""

    @property
    def dim(self) -> int:
        """D."""

    @property
    def sinkhorn_epsilon(self) -> float:
        """Weight of the plan's entropy."""

    @property
    def sinkhorn_iterations(self) -> int:
        """Of the plan."""

    @property
    def sinkhorn_queue(self) -> int | None:
        """Rows of past batches that take part."""


def require_assignment(config: AssignmentSettings) -> None:
    """Refuse values outside their range, and keys that the chosen assignment has no use for.

    Raises:
        ValueError: naming the keys and what to change.
    """
    require_size_ratios(config, part="method")
    require_positive(config, "sinkhorn_iterations", "dual_lr", part="method")
    if not config.sinkhorn_epsilon >= LEAST_EPSILON or config.sinkhorn_epsilon == math.inf:
        raise ValueError(
            f"method.sinkhorn_epsilon is {config.sinkhorn_epsilon}; give {LEAST_EPSILON} or more: a sharper plan is out of "
            "floating point's range"
        )
    if config.sinkhorn_queue is not None and config.sinkhorn_queue < 0:
        raise ValueError(f"method.sinkhorn_queue is {config.sinkhorn_queue}; give rows, 0 for none, or null")
    _refuse_idle_keys(config)


def _refuse_idle_keys(config: AssignmentSettings) -> None:
    """Refuse bounds where nothing bounds, and settings of a plan where there is none."""
    bounds = [key for key in ("min_size_ratio", "max_size_ratio", "dual_lr") if getattr(config, key)]  # a minimum of 0 is none
    if bounds and config.assignment != "constrained":
        raise ValueError(
            f"method.assignment is {config.assignment}, which knows no bounds, but {_listed(config, bounds)}; "
            "set what it does not use to null, or assignment to constrained"
        )
    usual = {"sinkhorn_epsilon": EPSILON, "sinkhorn_iterations": ITERATIONS, "sinkhorn_queue": None}
    changed = [key for key, value in usual.items() if getattr(config, key) != value]
    if changed and config.assignment != "sinkhorn":
        raise ValueError(
            f"{_listed(config, changed)}, but method.assignment is {config.assignment}, which makes no plan; set it to sinkhorn"
        )


def _listed(config: AssignmentSettings, keys: Sequence[str]) -> str:
    return " and ".join(f"method.{key} is {getattr(config, key)}" for key in keys)
