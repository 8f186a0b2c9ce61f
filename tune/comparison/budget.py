"""Scores at the same budget: the best value that a run reached before it had seen more than every finished run did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.tracking.figures import EPOCH, IMAGES_SEEN
from tune.comparison.mlflow_runs import Record

AXES = {IMAGES_SEEN: "images", EPOCH: "epochs", "": "steps"}  # the first that all finished runs have
SLACK = 1.01  # of images: batch sizes leave out different rests of an epoch


@dataclass(frozen=True)
class Budget:
    """What every finished run reached.

    Attributes:
        axis: figure that measures it; empty for steps.
        value: the most that all reached.
        longest: the most that one reached.
    """

    axis: str
    value: float
    longest: float

    @property
    def limit(self) -> float:
        """What a row may have used up to count."""
        return self.value * SLACK if self.axis == IMAGES_SEEN else self.value

    @property
    def differs(self) -> bool:
        """Whether some run has more than the others."""
        return self.longest > self.limit

    def __str__(self) -> str:
        return self.words(self.value)

    def words(self, value: float) -> str:
        """A value on the axis, with its unit."""
        return f"{value + (self.axis == EPOCH):,.0f} {AXES[self.axis]}"  # epochs count from 0


@dataclass(frozen=True)
class Row:
    """A value of the metric and the step that it belongs to."""

    step: int
    value: float


def common_budget(records: Sequence[Record], metric: str) -> Budget:
    """The budget of finished runs that have the metric."""
    axis = next(axis for axis in AXES if all(not axis or record.series.get(axis) for record in records))
    reached = [max(_spent(record, axis, step) for step in _steps(record, axis or metric)) for record in records]
    return Budget(axis, min(reached), max(reached))


def best_row(record: Record, metric: str, mode: str, budget: Budget) -> Row | None:
    """The best value within the budget, the first of equals; None where the run has none by then."""
    rows = [
        Row(step, value)
        for step, value in record.series.get(metric, {}).items()
        if _spent(record, budget.axis, step) <= budget.limit
    ]
    if not rows:
        return None
    return max(rows, key=lambda row: (row.value if mode == "max" else -row.value, -row.step))


def _steps(record: Record, name: str) -> list[int]:
    return list(record.series[name])


def _spent(record: Record, axis: str, step: int) -> float:
    """Budget used up at a step; before the first epoch's end, none."""
    return (record.at(axis, step) or 0.0) if axis else float(step)
