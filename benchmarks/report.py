"""What every benchmark shares: the machine in words, CPU time of all our processes, a table, and figures for programs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

CODE = ("*.py", "*.yaml", "*.toml", ":!benchmarks/measured.yaml")  # what a commit stands for in a table of figures


@dataclass(frozen=True)
class Figure:
    """One number that a benchmark ends in, under the name by which `benchmarks/bars.yaml` may hold it to a bound."""

    name: str
    value: float
    unit: str

    def tell(self) -> None:
        """Print it as `figure NAME VALUE UNIT`."""
        print(f"figure {self.name} {self.value:.6g} {self.unit}", flush=True)


@dataclass
class Comparison:
    """Our side against a baseline, over repetitions that ran in turn in one process run.

    Attributes:
        title: what is measured, in a line.
        rows: one table row each, by column name.
        ratios: of each repetition.
        figures: what the comparison ends in.
        notes: lines below the table.
    """

    title: str
    rows: list[dict[str, str | float]]
    ratios: list[float]
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median over the repetitions of each one's own ratio."""
        return median(self.ratios)


def machine() -> dict[str, str | int | float]:
    """CPU model, cores, load, versions and commit; the load says whether something else ran at the same time."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": version("torch"),
        "ray": version("ray"),
        "commit": _commit(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _commit() -> str:
    if shutil.which("git") is None:
        return "unknown"
    git = ["git", "-C", str(Path(__file__).parents[1])]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    edited = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *CODE], check=False) if found.returncode == 0 else None
    return (found.stdout.strip() or "unknown") + (", changed" if edited and edited.returncode else "")


def command() -> str:
    """The command that repeats this run."""
    module = Path(sys.argv[0]).resolve().relative_to(Path(__file__).parents[1]).with_suffix("")
    return shlex.join(["python", "-m", ".".join(module.parts).removesuffix(".__main__"), *sys.argv[1:]])


def cpu_seconds() -> float:
    """CPU time so far of this process and its descendants (workers, Ray's daemons); steadier under load than wall time."""
    stats = [_stat(int(folder.name)) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    parents = {pid: parent for pid, parent, _ in filter(None, stats)}
    return sum(seconds for pid, _, seconds in filter(None, stats) if _descends(pid, parents))


def _stat(pid: int) -> tuple[int, int, float] | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid, int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != os.getpid():
        pid = parents[pid]
    return pid == os.getpid()


def new_parser(description: str, *, threads: bool = False, table: bool = True, **numbers: int) -> argparse.ArgumentParser:
    """The command line of a benchmark.

    Args:
        description: its first line is shown.
        threads: whether it is a single process and has `--threads`.
        table: whether it ends in a `Comparison` and has `--json`.
        numbers: defaults of its whole numbers, by name.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, default in numbers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N", help=f"default {default:,}")
    if threads:
        parser.add_argument("--threads", type=int, metavar="N", help="of torch; default: its own choice")
    if table:
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too; of several the last one")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of this command line; `--threads` is obeyed."""
    options = parser.parse_args()
    if getattr(options, "threads", None):
        import torch

        torch.set_num_threads(options.threads)
    return options


def median(values: Sequence[float]) -> float:
    """Median as a plain float."""
    return float(statistics.median(values))


def publish(comparison: Comparison, path: Path | None) -> None:
    """Print the table, the machine and the command; write all of it to `path` if there is one."""
    about = machine()
    table = Table(title=comparison.title, title_justify="left")
    for index, column in enumerate(comparison.rows[0]):
        table.add_column(column, justify="right" if index else "left")
    for row in comparison.rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,.4g}" for value in row.values()))
    console = Console(width=130, highlight=False)
    console.print(table)
    spread = f"{min(comparison.ratios):.2f} to {max(comparison.ratios):.2f} in {len(comparison.ratios)} repetitions"
    console.print(f"ratio {comparison.ratio:.2f} ({spread})")
    for note in comparison.notes:
        console.print(note)
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    console.print(command(), soft_wrap=True)
    for figure in comparison.figures:
        figure.tell()
    if path is not None:
        path.write_text(json.dumps(asdict(comparison) | {"machine": about, "command": command()}, indent=2) + "\n")
