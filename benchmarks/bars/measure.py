"""Runs the commands of bars and reads their figures."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.bars.bar import FIGURE, ROOT, SECONDS, WALL, Bar
from pipelines.errors import UserError

Show = Callable[[str], object]
UNUSUAL = ("PYTHONDONTWRITEBYTECODE",)  # each process would compile all modules again: four seconds of a job's start


@dataclass(frozen=True)
class Ran:
    """What a command printed, and the seconds that it took."""

    output: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """A bar's figure, or in one sentence why there is none."""

    bar: Bar
    value: float | None = None
    problem: str = ""

    @property
    def reached(self) -> bool:
        """Whether the figure is good enough."""
        return self.value is not None and self.bar.share(self.value) >= 1

    @property
    def verdict(self) -> str:
        """`reached`, the share of the bound that is reached, or what is the matter."""
        if self.value is None:
            return self.problem
        return "reached" if self.reached else f"{self.bar.share(self.value):.2g}x"


def measure(bars: Sequence[Bar], show: Show = print) -> Iterator[Outcome]:
    """Measure bars, one command after another; a command that several share runs once.

    Args:
        bars: to measure.
        show: gets each command and each line that it prints, when it prints it.
    """
    commands = list(dict.fromkeys(bar.command for bar in bars))
    together = sorted(bars, key=lambda bar: commands.index(bar.command))
    for command, group in groupby(together, key=lambda bar: bar.command):
        sharing = list(group)
        able = [bar for bar in sharing if not bar.missing()]
        yield from (Outcome(bar, problem=f"needs {', '.join(bar.missing())}") for bar in sharing if bar not in able)
        if able:
            yield from _measure_together(command, able, show)


def _measure_together(command: str, bars: Sequence[Bar], show: Show) -> Iterator[Outcome]:
    try:
        ran = run(command, show)
    except UserError as error:
        yield from (Outcome(bar, problem=str(error)) for bar in bars)
        return
    for bar in bars:
        try:
            yield Outcome(bar, read(bar, ran))
        except UserError as error:
            yield Outcome(bar, problem=str(error))


def run(command: str, show: Show = print) -> Ran:
    """Run a command with this interpreter's programs first, and without what slows Python down where few have it set.

    Raises:
        UserError: when it cannot be started or fails, with the last line that it printed.
    """
    show(f"$ {command}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {name: value for name, value in os.environ.items() if name not in UNUSUAL}
    environment |= {"PATH": path, "PYTHONUNBUFFERED": "1"}
    began, lines = time.perf_counter(), list[str]()
    try:
        process = subprocess.Popen(
            shlex.split(command), cwd=ROOT, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"`{command}` cannot be started: {error.strerror}") from error
    with process:
        for line in process.stdout or ():
            lines.append(line.rstrip("\n"))
            show(lines[-1])
    seconds = time.perf_counter() - began
    if process.returncode:
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was printed")
        raise UserError(f"`{command}` ended with exit code {process.returncode}: {said}")
    return Ran("\n".join(lines), seconds)


def read(bar: Bar, ran: Ran) -> float:
    """The bar's figure.

    Raises:
        UserError: when the output does not hold it, or has it in another unit.
    """
    if bar.read == WALL:
        return ran.seconds / SECONDS[bar.unit]
    if bar.read != FIGURE:
        found = re.findall(bar.read, ran.output)
        if not found:
            raise UserError(f"`{bar.command}` printed nothing that matches {bar.read}")
        return _number(bar, found[-1])
    lines = re.findall(rf"^figure {re.escape(bar.name)} (\S+) (\S+)$", ran.output, re.MULTILINE)
    if not lines:
        raise UserError(f"`{bar.command}` printed no line `figure {bar.name} VALUE {bar.unit}`")
    value, unit = lines[-1]
    if unit != bar.unit:
        raise UserError(f"`{bar.command}` gave {bar.name} in {unit}, its bound is in {bar.unit}")
    return _number(bar, value)


def _number(bar: Bar, text: str) -> float:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise UserError(f"`{bar.command}` gave {bar.name} as {text!r}, which is no number") from None
