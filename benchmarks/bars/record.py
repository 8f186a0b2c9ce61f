"""The last figure of every bar: kept as data in `benchmarks/measured.yaml`, shown as a table in `docs/bars.md`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.bars.bar import ROOT, Bar, load_bars, spelled
from benchmarks.bars.measure import Outcome
from benchmarks.report import machine

MEASURED, PAGE = ROOT / "benchmarks" / "measured.yaml", ROOT / "docs" / "bars.md"
HEADER = """# Bars

What this code promises, and what was measured last. `make bench` measures all of it, `make bench BARS="NAME ..."` the named
ones, and writes this page; bounds and commands stand in [bars.yaml](../benchmarks/bars.yaml).

| bar | what | bound | figure | reached | measured | command |
|---|---|---|---|---|---|---|
"""


def show(outcomes: Iterable[Outcome]) -> None:
    """Print a table of what was measured now."""
    table = Table(title_justify="left")
    for column in ("bar", "figure", "bound", "reached"):
        table.add_column(column, justify="right" if column in ("figure", "bound") else "left", overflow="fold")
    for outcome in outcomes:
        bar, value = outcome.bar, outcome.value
        table.add_row(bar.name, "-" if value is None else spelled(value, bar.unit), bar.bound, outcome.verdict)
    Console(highlight=False).print(table)


def keep(
    outcomes: Iterable[Outcome], bars: Mapping[str, Bar], *, alone: bool, measured: Path = MEASURED, page: Path = PAGE
) -> None:
    """Put figures in the place of earlier ones; a bar whose command fails has none any more.

    Args:
        outcomes: of this run.
        bars: all that there are.
        alone: nothing else ran on the machine.
        measured: the file of figures.
        page: the table for readers.
    """
    kept: dict[str, Any] = yaml.safe_load(measured.read_text()) or {} if measured.exists() else {}
    now = {"date": datetime.date.today().isoformat(), **_surroundings(), "alone": alone}
    for outcome in outcomes:
        if outcome.bar.missing():
            continue
        kept.pop(outcome.bar.name, None)
        if outcome.value is not None:
            kept[outcome.bar.name] = {"value": float(f"{outcome.value:.4g}"), **now}
    kept = {name: kept[name] for name in bars if name in kept}
    measured.write_text(yaml.safe_dump(kept, sort_keys=False, width=200))
    page.write_text(as_markdown(bars, kept))


def _surroundings() -> dict[str, str]:
    about = machine()
    versions = ", ".join(f"{name} {about[name]}" for name in ("python", "torch", "ray"))
    return {"commit": str(about["commit"]), "machine": f"{about['cpu']}, {about['cores']} cores, {versions}"}


def as_markdown(bars: Mapping[str, Bar], kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all bars with their last figures."""
    machines = list(dict.fromkeys(one["machine"] for one in kept.values()))
    letters = {name: chr(ord("A") + index) for index, name in enumerate(machines)}
    rows = [_row(bar, kept.get(name), letters) for name, bar in bars.items()]
    legend = "".join(f"\nMachine {letter}: {name}.\n" for name, letter in letters.items())
    return HEADER + "\n".join(rows) + "\n" + legend


def _row(bar: Bar, last: Mapping[str, Any] | None, letters: Mapping[str, str]) -> str:
    figure, verdict, when = "", "not measured", ""
    if last:
        figure, verdict = spelled(last["value"], bar.unit), Outcome(bar, last["value"]).verdict
        when = f"{last['date']}, {last['commit']}, {letters[last['machine']]}" + ("" if last["alone"] else ", not alone")
    return f"| {bar.name} | {bar.what} | {bar.bound} | {figure} | {verdict} | {when} | `{bar.command}` |"


if __name__ == "__main__":
    PAGE.write_text(as_markdown(load_bars(), yaml.safe_load(MEASURED.read_text()) or {}))
