"""A comparison as a table in the terminal and as CSV files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from pipelines.files.location import Location
from pipelines.tracking.figures import EPOCH
from tune.comparison.comparison import Comparison, SettingLine
from tune.comparison.csv_files import write_csv
from tune.comparison.significance import Judged
from tune.points import label_of

if TYPE_CHECKING:
    from tune.comparison.two_runs.pair import Pair

MARKS = "./_-"  # after the last of which in a name stands what tells a setting's runs apart
LINES = re.compile(" (?=the best|interval|[+]-)")  # where names of columns have room for a second line
UNBOUNDED = 10_000  # characters, which no table needs
SCORES = 4  # columns: score, interval, seeds, verdict
COSTS = 3  # columns at the end: images, time, stopped runs
MOST_KEYS = 6  # more are one column of names in the terminal
CANNOT_TELL = "cannot tell: "  # before why, where there is room for it
SIZE_COLUMNS = ("#constraint", "#min", "#max")


def show(compared: Comparison, *, sizes: bool = False) -> None:
    """Print the table, the summary and the notes."""
    _print(Console(), compared, sizes)


def write_text(compared: Comparison, path: Path) -> None:
    """Write what `show` prints, with cluster sizes, as wide as it needs to be."""
    text = io.StringIO()
    _print(Console(file=text, width=250), compared, sizes=True)
    Location.of(path).write_bytes(text.getvalue().encode())


def _print(console: Console, compared: Comparison, sizes: bool) -> None:
    names, rows = setting_cells(compared, sizes=sizes)
    figures = names.index(score_column(compared))  # what stands left of them are settings
    table = _table(compared.title, names, rows, figures)
    if not _fits(console, table):
        for place, (name, (*_, images, seconds, stopped)) in enumerate(zip(_names(compared), rows, strict=True), 1):
            line = f"{place}: {name}; {images} images, {seconds}, {stopped} stopped"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        for table in _narrow(console, compared.title, names[figures:-COSTS], [row[figures:-COSTS] for row in rows]):
            console.print(table)
    else:
        console.print(table)
    if compared.pair is not None:
        console.print(_differences(compared.pair))
    for sentence in (*summary(compared), *compared.notes):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)  # an address that is broken opens nothing
    if is_wide(compared):
        console.print(f"{len(compared.keys)} keys differ; settings.csv has their values", highlight=False, soft_wrap=True)


def _fits(console: Console, table: Table) -> bool:
    return Measurement.get(console, console.options.update(width=UNBOUNDED), table).maximum <= console.width


def _narrow(console: Console, title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Table]:
    """Figures of settings by their numbers: one table, or the scores and what else there is below them."""

    def part(title: str, columns: slice, drop: str = "") -> Table:
        heads = ["", *(LINES.sub("\n", name) for name in names[columns])]
        cells = [[str(place), *(cell.removeprefix(drop) for cell in row[columns])] for place, row in enumerate(rows, 1)]
        table = _table(title, heads, cells, 1)
        table.box, table.padding = None, (0, 1, 0, 0)
        return table

    whole, scores = part(title, slice(None)), part(title, slice(SCORES))
    if _fits(console, whole):
        return [whole]
    if not _fits(console, scores):
        scores = part(title, slice(SCORES), CANNOT_TELL)
    return [scores, part("", slice(SCORES, None))] if names[SCORES:] else [scores]


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], figures: int) -> Table:
    """A table whose columns from the `figures`-th on are figures."""
    table = Table(title=escape(title) or None, title_justify="left")
    for place, name in enumerate(names):
        table.add_column(escape(name), justify="left" if place < figures else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _names(compared: Comparison) -> list[str]:
    """What each setting is called in a line of its own."""
    if is_wide(compared):
        return [names_of(line) for line in compared.lines]
    return [compared.named(place) or "the only setting" for place in range(len(compared.lines))]


def _differences(pair: Pair) -> Table:
    """The settings of two runs that differ."""
    table = Table(title="settings that differ", title_justify="left")
    for name in ("setting", *pair.names):
        table.add_column(escape(name), overflow="fold")
    for key, values in pair.settings:
        table.add_row(*map(escape, (key, *values)))
    return table


def score_column(compared: Comparison) -> str:
    """Name of the column of the scores."""
    return f"{compared.metric or 'score'} +- sd"


def setting_cells(compared: Comparison, *, sizes: bool) -> tuple[list[str], list[list[str]]]:
    """Column names and a row of texts for each setting, best first, as a person reads them."""
    wide = is_wide(compared)
    final = [f"final {compared.final}"] if compared.final else []
    names = [*(("setting",) if wide else compared.keys), score_column(compared), "95 % interval", "seeds", "against the best"]
    names += [*final, *(SIZE_COLUMNS if sizes else ()), "images", "time", "stopped"]
    rows = []
    for line, values in zip(compared.lines, compared.settings, strict=True):
        shown_sizes = ["-" if size is None else f"{size:.1f}" for size in line.sizes] if sizes else []
        finals = [_final(line)] if compared.final else []
        rows.append([*([names_of(line)] if wide else values), *_scores(line), *finals, *shown_sizes, *_cost(line)])
    return names, rows


def is_wide(compared: Comparison) -> bool:
    """Whether settings are told by their runs' names: too many keys differ."""
    return len(compared.keys) > MOST_KEYS


def has_key_charts(compared: Comparison) -> bool:
    """Whether charts of the keys tell something: of many keys in which two runs differ, they would not."""
    return compared.pair is None or not is_wide(compared)


def names_of(line: SettingLine) -> str:
    """Names of a setting's runs; what all begin with stands once, as in a shell: `arm.{1, 2}`."""
    names = [record.name for record, _ in line.runs]
    begins = {name[: 1 + max(map(name.rfind, MARKS))] for name in names}
    begin = begins.pop() if len(begins) == 1 < len(names) else ""
    ends = ", ".join(name.removeprefix(begin) for name in names)
    return f"{begin}{{{ends}}}" if begin else ends


def _scores(line: SettingLine) -> list[str]:
    if line.judged is None:
        return ["-", "-", "0", _why_no_score(line)]
    setting = line.judged.setting
    spread = "" if setting.deviation is None else f" +- {figure_text(setting.deviation)}"
    interval = "-" if setting.interval is None else " to ".join(map(figure_text, setting.interval))
    return [f"{figure_text(setting.mean)}{spread}", interval, str(setting.seeds), verdict(line.judged)]


def _why_no_score(line: SettingLine) -> str:
    return "no score" if line.outcomes["finished"] else "none finished"


def _final(line: SettingLine) -> str:
    return "-" if line.final is None else f"{figure_text(line.final.mean)} ({line.final.runs})"


def _cost(line: SettingLine) -> list[str]:
    return [f"{line.images:,.0f}", _time(line.seconds), str(line.outcomes["stopped"])]


def verdict(judged: Judged) -> str:
    """What can be said of a setting beside the best one, in words."""
    if judged.verdict == "equal":
        return f"= best (p {judged.p:.2g})"
    if judged.verdict == "worse":
        return f"p {judged.p:.2g}"
    return f"{CANNOT_TELL}{judged.verdict}" if judged.verdict in ("one seed", "no spread") else judged.verdict


def summary(compared: Comparison) -> list[str]:
    """Which setting is best, by how much, and which keys matter; nothing where none has a score."""
    if not any(line.judged for line in compared.lines):
        return []
    best, *others = (line.judged for line in compared.lines if line.judged)
    shown = _names(compared)[0]
    sentence = f"best: {shown} with {compared.metric} {figure_text(best.setting.mean)}"
    if others and others[0].behind:
        low, high = others[0].behind
        sentence += f"; ahead of the next by {figure_text(low)} to {figure_text(high)} (95 % interval of this pair alone)"
    if others:
        kinds = [one.verdict for one in others]
        unclear = kinds.count("one seed") + kinds.count("no spread")
        sentence += f"; of {len(others)} others {kinds.count('worse')} are worse, {kinds.count('equal')} cannot be told from it"
        sentence += f", {unclear} have too few seeds to tell" if unclear else ""
    shares = sorted(compared.importance.items(), key=lambda item: -item[1])
    told = ", ".join(f"{key} {share:.0%}" for key, share in shares[:MOST_KEYS])
    # Of two settings each key that differs explains all, and so does each of many keys among few runs.
    tells = told and len(others) > 1 and not is_wide(compared)
    return [sentence, *([f"variance of the settings explained by one key alone: {told}"] if tells else [])]


def write_tables(compared: Comparison, settings: Path, runs: Path) -> None:
    """Write a row for each setting, and a row for each run."""
    for path, (header, rows) in ((settings, setting_rows(compared)), (runs, run_rows(compared))):
        write_csv(path, [header, *rows])


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
    scores: list[Any] = [None, None, None, None, 0, _why_no_score(line), None]
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


def figure_text(value: float) -> str:
    """A score as a person reads it."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
