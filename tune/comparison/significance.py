"""What seeds allow to be said: means with intervals, which settings cannot be told from the best, which keys matter.

Repetitions of a setting are its runs with different seeds. Nothing is claimed from one seed.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tune.points import identity

LEVEL = 0.05  # p-values below it are differences
MOST_LEVELS, BINS = 6, 4  # a numeric key with more levels is cut into bins of equally many settings
LEAST_FREEDOM = 3  # of the noise between settings with shared seeds; below it a test says next to nothing
NO_SPREAD = 1e-9  # relative; a smaller range of scores is rounding


@dataclass(frozen=True)
class Setting:
    """A point and its scores, one for each seed, with the seeds' names in the same order where they are known."""

    point: dict[str, Any]
    scores: tuple[float, ...]
    seed_names: tuple[str, ...] = ()

    @property
    def seeds(self) -> int:
        """How many repetitions there are."""
        return len(self.scores)

    @property
    def mean(self) -> float:
        """Of the scores."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for one seed."""
        return float(np.std(sorted(self.scores), ddof=1)) if self.seeds > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % t-interval of the mean; None for one seed."""
        if not self.deviation:
            return None if self.deviation is None else (self.mean, self.mean)
        low, high = stats.t.interval(0.95, self.seeds - 1, loc=self.mean, scale=self.deviation / math.sqrt(self.seeds))
        return float(low), float(high)

    @property
    def has_spread(self) -> bool:
        """Whether the scores differ by more than rounding."""
        return max(self.scores) - min(self.scores) > NO_SPREAD * max(1.0, *map(abs, self.scores))


@dataclass(frozen=True)
class Judged:
    """A setting beside the best one.

    Attributes:
        setting: what is judged.
        verdict: `best`, `equal` (not distinguishable from the best), `worse`, `one seed` or `no spread` (cannot tell).
        p: of the test against the best, corrected by Holm; None where there was no test.
        behind: 95 % interval of how far its mean lies behind the best one's, of this pair alone; None where there was no test.
        blocked: whether the test compared seed by seed.
    """

    setting: Setting
    verdict: str
    p: float | None = None
    behind: tuple[float, float] | None = None
    blocked: bool = False


@dataclass(frozen=True)
class SharedSeeds:
    """Noise between settings that ran the same seeds: a seed that is lucky for one is mostly so for others, and that cancels.

    Scores are a setting's mean plus a seed's plus noise of one variance (randomised complete blocks; Fisher, The Design of
    Experiments, 1935). That it is one is checked, since a setting that is unstable would hide what the others differ by.

    Attributes:
        variance: of the noise.
        freedom: degrees of it, (settings - 1) x (seeds - 1).
        seeds: how many.
    """

    variance: float
    freedom: int
    seeds: int

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> SharedSeeds | None:
        """`None` where settings differ in their seeds, are too few, leave no noise or differ in it."""
        seeds = {setting.seed_names for setting in settings}
        if len(seeds) != 1 or seeds == {()}:
            return None
        scores = np.array([setting.scores for setting in settings])
        freedom = (scores.shape[0] - 1) * (scores.shape[1] - 1)
        noise = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
        if freedom < LEAST_FREEDOM or np.abs(noise).max() <= NO_SPREAD * max(1.0, float(np.abs(scores).max())):
            return None
        parts = (noise, scores - scores.mean(axis=1, keepdims=True))
        if len(scores) > 2 and not all(_alike((part**2).sum(axis=1), scores.shape[1] - 1) for part in parts):
            return None  # the differences of two settings have one noise by themselves
        return cls(float((noise**2).sum()) / freedom, freedom, scores.shape[1])

    def test(self, best: Setting, other: Setting, sign: float) -> tuple[float, tuple[float, float]]:
        """The p-value, and the 95 % interval of how far `other` lies behind."""
        gap, error = sign * (best.mean - other.mean), math.sqrt(2 * self.variance / self.seeds)
        half = float(stats.t.ppf(0.975, self.freedom)) * error
        return float(2 * stats.t.sf(abs(gap) / error, self.freedom)), (gap - half, gap + half)


def group(scored: Sequence[tuple[Mapping[str, Any], str, float]]) -> list[Setting]:
    """Settings of (point, seed, score); runs of one point and one seed are no repetitions, their mean counts once."""
    points: dict[str, dict[str, Any]] = {}
    scores: dict[str, dict[str, list[float]]] = {}
    for point, seed, score in scored:
        points.setdefault(identity(point), dict(point))
        scores.setdefault(identity(point), {}).setdefault(seed, []).append(score)
    return [_setting(points[key], scores[key]) for key in sorted(points)]


def _setting(point: dict[str, Any], scores: Mapping[str, list[float]]) -> Setting:
    """Of a point and each seed's scores."""
    seeds = tuple(sorted(scores))
    return Setting(point, tuple(math.fsum(scores[seed]) / len(scores[seed]) for seed in seeds), seeds)


def judge(settings: Sequence[Setting], mode: str) -> list[Judged]:
    """All settings, best first, each told from the best or not.

    A t-test of each setting against the best, Holm's correction over the settings that can be tested. Those that ran the
    best's seeds are tested seed by seed, see `SharedSeeds`; for others it is Welch's test. The best is chosen by the same scores
    that it is tested with, so its own mean is a little flattered.
    """
    sign = 1.0 if mode == "max" else -1.0
    order = sorted(settings, key=lambda setting: (-sign * setting.mean, identity(setting.point)))
    top = [setting for setting in order if _same(setting.mean, order[0].mean)]
    best = min(top, key=lambda setting: identity(setting.point))
    others = [setting for setting in order if setting is not best]
    tested = {index: other for index, other in enumerate(others) if _why_no_test(best, other) is None}
    sharing = {index for index, other in tested.items() if other.seed_names == best.seed_names}
    blocks = SharedSeeds.of([best, *(tested[index] for index in sorted(sharing))])
    blocked = sharing if blocks else set()
    tests = {
        index: (blocks.test if blocks and index in blocked else _welch)(best, other, sign) for index, other in tested.items()
    }
    corrected = dict(zip(tests, holm([p for p, _ in tests.values()]), strict=True))
    judged = [Judged(best, "best")]
    for index, other in enumerate(others):
        if index in tests:
            p = corrected[index]
            judged.append(Judged(other, "worse" if p < LEVEL else "equal", p, tests[index][1], index in blocked))
        else:
            judged.append(Judged(other, _why_no_test(best, other) or ""))
    return judged


def _alike(squares: np.ndarray, freedom: int) -> bool:
    """Whether no sum of squares, of so many degrees of freedom each, is too large a share of all (Cochran, 1941)."""
    count = len(squares)
    bound = stats.f.isf(LEVEL / count, freedom, freedom * (count - 1))
    return bool(squares.max() <= squares.sum() / (1 + (count - 1) / bound))


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= NO_SPREAD * max(1.0, abs(one), abs(other))


def _why_no_test(best: Setting, other: Setting) -> str | None:
    if min(best.seeds, other.seeds) < 2:
        return "one seed"
    return None if best.has_spread or other.has_spread else "no spread"


def _welch(best: Setting, other: Setting, sign: float) -> tuple[float, tuple[float, float]]:
    """As `SharedSeeds.test`, for settings whose seeds have nothing to do with each other."""
    scores = ([sign * score for score in setting.scores] for setting in (best, other))
    with warnings.catch_warnings():  # of seeds that agree nearly to the bit, which the table shows anyway
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_ind(*scores, equal_var=False)
    behind = test.confidence_interval(0.95)
    return float(test.pvalue), (float(behind.low), float(behind.high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the smallest p times their number, the next times one less, never decreasing, at most 1."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def importance(settings: Sequence[Setting]) -> dict[str, float]:
    """Share of the variance of the settings' means that each key explains alone (one-way eta squared), 0 to 1.

    It is marginal: averaged over the other keys, blind to interactions, and in a space that is not a full grid a key also gets
    what goes along with it. Shares need not add up to 1. By chance alone a key of L levels gets about (L - 1) / (settings - 1).
    Empty for fewer than two settings.
    """
    keys = sorted({key for setting in settings for key in setting.point})
    means = np.array([setting.mean for setting in settings])
    scale = NO_SPREAD * max(1.0, float(np.abs(means).max(initial=0.0)))
    if len(means) < 2:
        return {}
    if float(np.ptp(means)) <= scale:
        return dict.fromkeys(keys, 0.0)
    total = float(((means - means.mean()) ** 2).sum())
    shares = {}
    for key in keys:
        levels = np.array(_levels([setting.point.get(key) for setting in settings]))
        parts = [means[levels == level] for level in np.unique(levels)]
        between = math.fsum(len(part) * float(part.mean() - means.mean()) ** 2 for part in parts)
        shares[key] = min(1.0, between / total)
    return shares


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are finite numbers."""
    numbers = (isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return all(numbers) and all(abs(value) <= sys.float_info.max for value in values)


def _levels(values: Sequence[Any]) -> list[int]:
    """The index of each value's level, or of its bin."""
    if is_numeric(values):
        different = sorted({float(value) for value in values})
        ranks = [different.index(float(value)) for value in values]
        if len(different) <= MOST_LEVELS:
            return ranks
        edges = np.quantile(ranks, np.arange(1, BINS) / BINS)
        return [int(np.searchsorted(edges, rank, side="left")) for rank in ranks]
    names = [identity({"": value}) for value in values]
    return [sorted(set(names)).index(name) for name in names]
