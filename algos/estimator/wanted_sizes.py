"""The sizes that a table's clusters may have, out of what was asked for: in rows or weight, and as ratios to the mean size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from algos.exact.row_bounds import maximum_rows, minimum_rows

DEFAULT_RATIO = 0.4
NEARLY = 1e-9  # relative; a smaller excess of a bound is rounding


@dataclass(frozen=True)
class Sizes:
    """Least and greatest size of a cluster.

    Attributes:
        least: in rows, or in weight.
        most: likewise; infinity without an upper bound.
        min_ratio: `least` as a share of the mean size.
        max_ratio: `most` likewise; `None` without an upper bound.
    """

    least: float
    most: float
    min_ratio: float
    max_ratio: float | None


@dataclass(frozen=True)
class Wanted:
    """What was asked for: a ratio to the mean size or a size, of each bound; `None` where it was not."""

    min_ratio: float
    min_size: float | None
    max_ratio: float | None
    max_size: float | None

    def of_rows(self, rows: int, clusters: int, unit: float, *, alike: bool) -> Sizes:
        """The bounds for so many rows.

        Args:
            rows: that count for anything, each 1 in the mean.
            clusters: K.
            unit: weight of 1.
            alike: whether all rows count alike, so that sizes are whole.

        Raises:
            ValueError: for bounds that the rows cannot keep, that cross, or that are given twice.
        """
        least, min_ratio = self._least(rows, clusters, unit, alike=alike)
        most, max_ratio = self._most(rows, clusters, unit, alike=alike)
        if least > most * (1 + NEARLY):
            raise ValueError(
                f"the minimum of a cluster is {least * unit:.10g} and the maximum {most * unit:.10g}; change one of them"
            )
        return Sizes(least * unit, most * unit, min_ratio, max_ratio)

    def _least(self, rows: int, clusters: int, unit: float, *, alike: bool) -> tuple[float, float]:
        if self.min_size is None:
            return (minimum_rows(self.min_ratio, rows, clusters) if alike else self.min_ratio * rows / clusters), self.min_ratio
        if self.min_ratio != DEFAULT_RATIO:
            raise ValueError("both min_cluster_size and min_size_ratio are set; give one of them")
        wanted = self.min_size / unit
        wanted = math.ceil(wanted - NEARLY * rows) if alike else wanted
        if wanted * clusters > rows * (1 + NEARLY):
            least = float(wanted) * unit  # in whole rows
            needed = f"{clusters} clusters of at least {least:.10g} {_counted(unit)}"
            raise ValueError(f"{needed} need {clusters * least:.10g}; X has {rows * unit:.10g}")
        return wanted, min(wanted * clusters / rows, 1.0)

    def _most(self, rows: int, clusters: int, unit: float, *, alike: bool) -> tuple[float, float | None]:
        if self.max_size is None:
            if self.max_ratio is None:
                return math.inf, None
            return (maximum_rows(self.max_ratio, rows, clusters) if alike else self.max_ratio * rows / clusters), self.max_ratio
        if self.max_ratio is not None:
            raise ValueError("both max_cluster_size and max_size_ratio are set; give one of them")
        wanted = self.max_size / unit
        wanted = math.floor(wanted + NEARLY * rows) if alike else wanted
        if wanted * clusters < rows * (1 - NEARLY):
            most = float(wanted) * unit
            held = f"{clusters} clusters of at most {most:.10g} {_counted(unit)}"
            raise ValueError(f"{held} hold {clusters * most:.10g}; X has {rows * unit:.10g}")
        return wanted, max(wanted * clusters / rows, 1.0)


def _counted(unit: float) -> str:
    return "rows" if unit == 1 else "weight"
