"""A comparison as a table in the terminal and as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.tracking.figures import EPOCH
from tune.comparison.comparison import Comparison, SettingLine
from tune.comparison.significance import Judged
from tune.points import label_of

MOST_KEYS = 6  # more are one column of names in the terminal
CANNOT_TELL = {"one seed": "cannot tell: one seed", "no spread": "cannot tell: no spread"}
SIZE_COLUMNS = ("#constraint", "#min", "#max")


def show(compared: Comparison, *, sizes: bool = False) -> None:
    """Print the table, the summary and the notes."""
    _print(Console(), compared, sizes)


def write_text(compared: Comparison, path: Path) -> None:
    """Write what `show` prints, with cluster sizes, as wide as it needs to be."""
    with path.open("w", encoding="utf-8") as file:
        _print(Console(file=file, width=250), compared, sizes=True)


def _print(console: Console, compared: Comparison, sizes: bool) -> None:
    title = f"{compared.name}: {compared.metric} ({compared.mode}) within {compared.budget}"
    table = Table(title=escape(title), title_justify="left")
    wide = _is_wide(compared)
    for key in ("setting",) if wide else compared.keys:
        table.add_column(escape(key))
    for column in (
        escape(f"{compared.metric} +- sd"),
        "95 % interval",
        "seeds",
        "against the best",
        *((escape(f"final {compared.final}"),) if compared.final else ()),
        *(SIZE_COLUMNS if sizes else ()),
    ):
        table.add_column(column, justify="right")
    for column in ("images", "time", "stopped"):
        table.add_column(column, justify="right")
    for line, values in zip(compared.lines, compared.settings, strict=True):
        setting = [_names(line)] if wide else values
        shown_sizes = ["-" if size is None else f"{size:.1f}" for size in line.sizes] if sizes else []
        final = [_final(line)] if compared.final else []
        table.add_row(*map(escape, setting), *_scores(line.judged), *final, *shown_sizes, *_cost(line))
    console.print(table)
    for sentence in (*summary(compared), *compared.notes):
        console.print(sentence, markup=False, highlight=False)
    if wide:
        console.print(f"{len(compared.keys)} keys differ; settings.csv has their values", highlight=False)


def _is_wide(compared: Comparison) -> bool:
    """Whether settings are told by their runs' names: too many keys differ."""
    return len(compared.keys) > MOST_KEYS


def _names(line: SettingLine) -> str:
    return ", ".join(record.name for record, _ in line.runs)


def _scores(judged: Judged | None) -> list[str]:
    if judged is None:
        return ["-", "-", "0", "none finished"]
    setting = judged.setting
    spread = "" if setting.deviation is None else f" +- {_figure(setting.deviation)}"
    interval = "-" if setting.interval is None else " to ".join(map(_figure, setting.interval))
    return [f"{_figure(setting.mean)}{spread}", interval, str(setting.seeds), verdict(judged)]


def _final(line: SettingLine) -> str:
    return "-" if line.final is None else f"{_figure(line.final.mean)} ({line.final.runs})"


def _cost(line: SettingLine) -> list[str]:
    return [f"{line.images:,.0f}", _time(line.seconds), str(line.outcomes["stopped"])]


def verdict(judged: Judged) -> str:
    """What can be said of a setting beside the best one, in words."""
    if judged.verdict == "equal":
        return f"= best (p {judged.p:.2g})"
    if judged.verdict == "worse":
        return f"p {judged.p:.2g}"
    return CANNOT_TELL.get(judged.verdict, judged.verdict)


def summary(compared: Comparison) -> list[str]:
    """Which setting is best, by how much, and which keys matter."""
    best, *others = (line.judged for line in compared.lines if line.judged)
    shown = _names(compared.lines[0]) if _is_wide(compared) else compared.named(0) or "the only setting"
    sentence = f"best: {shown} with {compared.metric} {_figure(best.setting.mean)}"
    if others and others[0].behind:
        low, high = others[0].behind
        sentence += f"; ahead of the next by {_figure(low)} to {_figure(high)} (95 % interval of this pair alone)"
    if others:
        kinds = [one.verdict for one in others]
        unclear = kinds.count("one seed") + kinds.count("no spread")
        sentence += f"; of {len(others)} others {kinds.count('worse')} are worse, {kinds.count('equal')} cannot be told from it"
        sentence += f", {unclear} have too few seeds to tell" if unclear else ""
    shares = sorted(compared.importance.items(), key=lambda item: -item[1])
    told = ", ".join(f"{key} {share:.0%}" for key, share in shares[:MOST_KEYS])
    tells = told and others and not _is_wide(compared)  # among many keys and few runs each one explains all
    return [sentence, *([f"variance of the settings explained by one key alone: {told}"] if tells else [])]


def write_csv(compared: Comparison, settings: Path, runs: Path) -> None:
    """Write a row for each setting, and a row for each run."""
    _write(settings, *setting_rows(compared))
    _write(runs, *run_rows(compared))


def setting_rows(compared: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Column names and a row for each setting, best first."""
    names = ["mean", "deviation", "low", "high", "seeds", "verdict", "p", "images", "seconds"]
    names += ["finished", "stopped", "failed", "running", "min_size", "cluster_size_min", "cluster_size_max"]
    names += [compared.final, "final_runs"] if compared.final else []
    return [*compared.keys, *names], [_setting_row(compared, line) for line in compared.lines]


def run_rows(compared: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Column names and a row for each run."""
    header = [*compared.keys, "seed", "run_id", "name", "outcome", "reason", "score", "step", "epoch", "images", "seconds"]
    rows = [
        [
            *(_plain(record.point.get(key)) for key in compared.keys), record.seed, record.address.run_id, record.name,
            record.outcome, record.reason, *((row.value, row.step, record.at(EPOCH, row.step)) if row else (None, None, None)),
            record.images, record.seconds,
        ]
        for record, row in compared.runs
    ]  # fmt: skip
    return header, rows


def _setting_row(compared: Comparison, line: SettingLine) -> list[Any]:
    judged = line.judged
    scores: list[Any] = [None, None, None, None, 0, "none finished", None]
    if judged:
        setting = judged.setting
        scores = [setting.mean, setting.deviation, *(setting.interval or (None, None)), setting.seeds, judged.verdict, judged.p]
    final = ([line.final.mean, line.final.runs] if line.final else [None, 0]) if compared.final else []
    outcomes = [line.outcomes[outcome] for outcome in ("finished", "stopped", "failed", "running")]
    return [
        *(_plain(line.point.get(key)) for key in compared.keys),
        *scores,
        line.images,
        line.seconds,
        *outcomes,
        *line.sizes,
        *final,
    ]


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else label_of(value)


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _figure(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
