"""A study as Markdown: a row an arm, a column a cell, and below it the pairs of arms, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.science.scores import Scores
from benchmarks.science.study import Pair, Study
from tune.comparison.significance import Setting

NOTHING = "-"


def draw(study: Study, scores: Scores) -> str:
    """The tables of a study, and what they lack."""
    parts = [
        f"{study.title}. Mean ± standard deviation over seeds {', '.join(map(str, study.seeds))}{_other_seeds(study)}.",
        markdown(["", *study.cells], [[arm, *(_score(study, scores, cell, arm) for cell in study.cells)] for arm in study.arms]),
    ]
    if study.pairs:
        parts += [
            "Difference of two arms, mean over the seeds that both have, with its 95 % interval (Student's, of the differences):",
            markdown(["", *study.cells, "above in"], [_pair(study, scores, pair) for pair in study.pairs]),
        ]
    if missing := list(_missing(study, scores)):
        parts.append(f"Missing runs: {'; '.join(missing)}.")
    parts += [f"Left out: {sentence}." for sentence in scores.left_out]
    return "\n\n".join(parts) + "\n"


def mean_of(setting: Setting) -> str:
    """Scores of some seeds as a cell has them: mean ± standard deviation, of one seed the score."""
    return f"{setting.mean:.3f}" + ("" if setting.deviation is None else f" ± {setting.deviation:.3f}")


def difference_of(setting: Setting) -> str:
    """Differences of some seeds as a cell has them: their mean, and its 95 % interval where there are several."""
    low_high = setting.interval
    return f"{setting.mean:+.3f}" + ("" if low_high is None else f" ({low_high[0]:+.3f} to {low_high[1]:+.3f})")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, a line a row."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _other_seeds(study: Study) -> str:
    own = [f"{name} {', '.join(map(str, cell.seeds))}" for name, cell in study.cells.items() if cell.seeds]
    return f" ({'; '.join(own)})" if own else ""


def _score(study: Study, scores: Scores, cell: str, arm: str) -> str:
    found = tuple(scores.of(cell, arm).values())
    if not found:
        return NOTHING
    return f"{mean_of(Setting({}, found))}{_count(study, cell, len(found))}"


def _pair(study: Study, scores: Scores, pair: Pair) -> list[str]:
    """A row of differences, and in how many of the cells that have any the mean is above."""
    found = {cell: differences(scores.of(cell, pair.arm), scores.of(cell, pair.against)) for cell in study.cells}
    known = [setting for setting in found.values() if setting]
    shown = [_difference(study, cell, setting) if setting else NOTHING for cell, setting in found.items()]
    above = sum(setting.mean > 0 for setting in known)
    return [pair.title, *shown, f"{above} of {len(known)} cells" if known else NOTHING]


def differences(one: Mapping[int, float], other: Mapping[int, float]) -> Setting | None:
    """The differences of two arms' scores, over the seeds that both have; `None` where there are none."""
    found = tuple(one[seed] - other[seed] for seed in sorted({*one} & {*other}))
    return Setting({}, found) if found else None


def _difference(study: Study, cell: str, setting: Setting) -> str:
    return f"{difference_of(setting)}{_count(study, cell, setting.seeds)}"


def _count(study: Study, cell: str, found: int) -> str:
    """How many seeds there are, where some are missing."""
    wanted = len(study.seeds_of(cell))
    return "" if found == wanted else f" ({found} of {wanted})"


def _missing(study: Study, scores: Scores) -> Iterator[str]:
    for cell in study.cells:
        for arm in study.arms:
            wanted, there = study.seeds_of(cell), scores.of(cell, arm)
            if lacking := [str(seed) for seed in wanted if seed not in there]:
                yield f"{cell} {arm} of {'seed ' + ', '.join(lacking) if there else 'all seeds'}"
