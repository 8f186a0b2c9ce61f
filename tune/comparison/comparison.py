"""From records to a comparison: a line for each setting, what was learned of it, what it cost, and what must be said besides."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.tracking.figures import EVALUATE, LARGEST, MIN_SIZE, SMALLEST, TEST, VAL
from pipelines.words import counted
from tune.comparison.budget import Budget, Row, best_row, common_budget
from tune.comparison.made_with import unlike
from tune.comparison.mlflow_runs import Record
from tune.comparison.significance import Judged, group, importance, judge
from tune.points import identity, labels_of

if TYPE_CHECKING:  # what it reads takes torch, which a comparison of many runs does without
    from tune.comparison.two_runs.pair import Pair

CONSTRAINT = MIN_SIZE  # the same in every epoch, so that its history need not be read
SIZES = (SMALLEST, LARGEST)
SHOWN = 3  # runs that are named


@dataclass(frozen=True)
class Final:
    """What `quorum evaluate` found of a setting: the mean over those of its runs that it was asked about."""

    mean: float
    runs: int


@dataclass(frozen=True)
class SettingLine:
    """A setting.

    Attributes:
        point: its values by key.
        runs: its runs, with their best rows where they have a score.
        judged: its scores beside the best ones; None where none of its runs finished.
        images: seen by all its runs together.
        seconds: of all its runs together.
        outcomes: how many runs ended how.
        sizes: the minimum cluster size, the smallest and the largest cluster at the best scores' epochs, means over runs.
        final: the score on the test split, where it was asked for and is known.
    """

    point: dict[str, Any]
    runs: tuple[tuple[Record, Row | None], ...]
    judged: Judged | None
    images: float
    seconds: float
    outcomes: Counter[str]
    sizes: tuple[float | None, ...]
    final: Final | None = None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        name: of what was compared.
        metric: the figure; empty where two runs have no score.
        mode: `max` or `min`.
        budget: of the scores; `None` without.
        keys: of the settings.
        lines: best setting first, those without a score last.
        runs: every run, with its best row where it has a score.
        importance: share of the variance that each key explains.
        notes: sentences below the table, warnings first.
        final: the figure of the final score, where that was asked for.
        folder: of the files that were written; `None` before.
        files: that were written.
        pair: what else was compared of two runs.
    """

    name: str
    metric: str
    mode: str
    budget: Budget | None
    keys: tuple[str, ...]
    lines: tuple[SettingLine, ...]
    runs: tuple[tuple[Record, Row | None], ...]
    importance: dict[str, float]
    notes: tuple[str, ...]
    final: str | None = None
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    pair: Pair | None = None

    @property
    def title(self) -> str:
        """What was compared, by what."""
        return f"{self.name}: {self.metric} ({self.mode}) within {self.budget}" if self.budget else f"{self.name}: no score"

    @functools.cached_property
    def settings(self) -> list[list[str]]:
        """The keys' values of each line, as a table shows them."""
        columns = [labels_of([line.point.get(key) for line in self.lines]) for key in self.keys]
        return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in self.lines]

    def named(self, index: int) -> str:
        """A line's keys and values in words; empty where no key differs."""
        return ", ".join(f"{key} {value}" for key, value in zip(self.keys, self.settings[index], strict=True))


def build(
    name: str, records: Sequence[Record], metric: str, mode: str, notes: Sequence[str] = (), final: str | None = None
) -> Comparison:
    """The comparison of runs by the best value of a metric at the budget that all finished ones reached.

    With `final` each setting also has the mean of that figure, which plays no part in the choice.

    Raises:
        UserError: when no run has finished with that metric.
    """
    finished = [record for record in records if record.outcome == "finished"]
    comparable = [record for record in finished if record.series.get(metric)]
    if not comparable:
        outcomes = Counter(record.outcome for record in records)
        counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        raise UserError(f"no run of {name} has finished with the figure {metric!r} (runs: {counted}){_reasons(records)}")
    budget = common_budget(comparable, metric)
    runs = [(record, best_row(record, metric, mode, budget) if record in comparable else None) for record in records]
    settings = group([(record.point, record.seed, row.value) for record, row in runs if row])
    judged = judge(settings, mode)
    lines = _lines(judged, runs, final)
    keys = tuple(sorted({key for record in records for key in record.point}))
    said = [*notes, *_warnings(runs, metric, budget), *unlike([record for record, row in runs if row])]
    said += [
        *_footnotes(metric, mode, budget, judged),
        *_chosen_on(metric, final=final is not None),
        *_finals(lines, final),
        *_costs(records),
    ]
    return Comparison(name, metric, mode, budget, keys, lines, tuple(runs), importance(settings), tuple(said), final)


def without_scores(name: str, records: Sequence[Record], notes: Sequence[str]) -> Comparison:
    """The comparison of runs of which none can be judged: what was tried, how it ended and what it cost."""
    runs = tuple((record, None) for record in records)
    keys = tuple(sorted({key for record in records for key in record.point}))
    return Comparison(name, "", "max", None, keys, _lines([], runs, None), runs, {}, (*unlike(records), *notes, *_costs(records)))


def _lines(judged: Sequence[Judged], runs: Sequence[tuple[Record, Row | None]], final: str | None) -> tuple[SettingLine, ...]:
    of_point: dict[str, list[tuple[Record, Row | None]]] = {}
    for record, row in runs:
        of_point.setdefault(identity(record.point), []).append((record, row))
    scored = [_line(one, of_point.pop(identity(one.setting.point)), final) for one in judged]
    return (*scored, *(_line(None, of_point[key], final) for key in sorted(of_point)))


def _line(judged: Judged | None, runs: Sequence[tuple[Record, Row | None]], final: str | None) -> SettingLine:
    records = [record for record, _ in runs]
    finals = [record.last[final] for record, row in runs if row and final in record.last]
    scored = [(record, row) for record, row in runs if row]
    sizes = [_mean([record.last.get(CONSTRAINT) for record, _ in scored])]
    sizes += [_mean([record.at(name, row.step) for record, row in scored]) for name in SIZES]
    return SettingLine(
        point=records[0].point,
        runs=tuple(runs),
        judged=judged,
        images=sum(record.images for record in records),
        seconds=sum(record.seconds for record in records),
        outcomes=Counter(record.outcome for record in records),
        sizes=tuple(sizes),
        final=Final(sum(finals) / len(finals), len(finals)) if finals else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _warnings(runs: Sequence[tuple[Record, Row | None]], metric: str, budget: Budget) -> list[str]:
    found = []
    if budget.differs:
        found.append(
            f"warning: budgets differ, from {budget} to {budget.words(budget.longest)}; compared at {budget}, where the longer "
            "runs are still in the middle of their schedule"
        )
    if left_out := [record.name for record, row in runs if record.outcome == "finished" and row is None]:
        found.append(f"warning: no {metric} within the budget, so not compared: {', '.join(left_out)}")
    repeats = Counter((identity(record.point), record.seed) for record, row in runs if row)
    if again := sum(count - 1 for count in repeats.values()):
        found.append(f"warning: {again} runs repeat a setting with the same seed; such runs count once, by their mean")
    return found


def _footnotes(metric: str, mode: str, budget: Budget, judged: Sequence[Judged]) -> list[str]:
    best = "largest" if mode == "max" else "smallest"
    tested = [one.blocked for one in judged if one.p is not None]
    exception = "" if all(tested) else " (Welch's where the seeds are not the best's)"
    test = f"t-test seed by seed, one noise for all{exception}," if any(tested) else "Welch's t-test"
    return [
        f"score: {best} {metric} of a run within {budget}, the budget that every finished run reached; +- is the standard "
        "deviation over seeds, the interval Student's of the mean",
        f"p: {test} against the best, Holm-corrected over the settings; '= best' is p >= 0.05, no difference shown",
        "images and time are of all runs of a setting; stopped and failed runs count only there and are never compared by score",
    ]


def _chosen_on(metric: str, *, final: bool) -> list[str]:
    """What the choice means for the score of the best."""
    split = metric.removeprefix(f"{EVALUATE}/").partition("/")[0]
    if split == VAL:
        more = "" if final else f"; --final adds scores on {TEST}"
        return [f"chosen on {VAL}: the best score is a little too good, as a choice makes it{more}"]
    if split == TEST:
        return [f"chosen on {TEST}, so no image is left for a fair score of the best; ingest --val makes a split to choose on"]
    return []


def _finals(lines: Sequence[SettingLine], final: str | None) -> list[str]:
    if final is None:
        return []
    lacking = [record.name for line in lines for record, row in line.runs if row and final not in record.last]
    said = [f"final: mean over the compared runs of {final}, as quorum evaluate found it last"]
    if lacking:
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        said.append(f"no {final} yet of {', '.join(lacking[:SHOWN])}{more}; quorum evaluate FOLDER/checkpoints/best")
    return said


def _costs(records: Sequence[Record]) -> list[str]:
    outcomes = Counter(record.outcome for record in records)
    ends = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("finished", "stopped", "failed", "running"))
    images, hours = sum(record.images for record in records), sum(record.seconds for record in records) / 3600
    return [f"{counted(len(records), 'run')}: {ends}; {images:,.0f} images, {hours:.3g} h{_reasons(records)}"]


def _reasons(records: Sequence[Record]) -> str:
    reasons = Counter(record.reason or "no reason kept" for record in records if record.outcome == "failed")
    told = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    return f"; failures: {told}" if told else ""
