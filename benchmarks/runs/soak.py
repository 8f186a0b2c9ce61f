"""A training of very many epochs of a tiny set: what grows that should not.

    python -m benchmarks.runs.soak --epochs 1000

Ray Data makes a new pipeline each epoch. Looked at from outside, at equal distances: the memory of each role of the job (PSS:
shared pages divided among who shares them; the object store's apart), its threads and files, and the seconds of an epoch.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure, new_parser, parse
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore

SETTLED = 50  # epochs before the first look that counts
LOOKS = 20
ALLOWED_MB, ALLOWED_SHARE = 10.0, 0.05  # growth of a role, the larger of both
STORE = "object store"
POOLED = "idle and Data workers"  # Ray replaces them, so they count together
SMALL = [
    "--config", "coke_digits", "--backbone.name", "wrn-10-1", "--method.dim", "16", "--method.num_clusters", "[12, 8]",
    "--batch_size", "32", "--compute.threads", "1", "--monitor.knn_epochs", "0", "--monitor.picture_epochs", "0",
    "--checkpoint.keep_last", "2",
]  # fmt: skip


@dataclass
class Look:
    """What the job is at one moment: epochs done, seconds since its start, and of each role memory in MB, threads and files."""

    epochs: int
    seconds: float
    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    threads: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Train, look, and print what became of each role."""
    parser = new_parser(__doc__, table=False, epochs=1000)
    options = parse(parser)
    if options.epochs < SETTLED + LOOKS:
        parser.error(f"--epochs is {options.epochs}; it takes {SETTLED + LOOKS} to see anything")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        publish(soak(Path(folder), options.epochs))


def soak(folder: Path, epochs: int) -> list[Look]:
    """Looks at a run of so many epochs, from the first epoch that has settled to the last but one."""
    quorum = [sys.executable, "-m", "quorum"]
    ingest = ["ingest", "digits", "--take", "160", "--to", f"{folder}/digits"]
    subprocess.run([*quorum, *ingest], check=True, capture_output=True)
    words = [*SMALL, "--data", f"{folder}/digits", "--storage", str(folder), "--name", "run", "--epochs", str(epochs)]
    command = [*quorum, "pretrain", *words, "--address", "local"]
    looks: list[Look] = []
    store, began = CheckpointStore(Location.of(folder / "run" / "checkpoints")), time.monotonic()
    with (folder / "said.txt").open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        while process.poll() is None:
            entry = store.latest()
            due = SETTLED + len(looks) * (epochs - 2 - SETTLED) // (LOOKS - 1)
            if entry is not None and entry.epoch >= due and len(looks) < LOOKS:
                looks.append(look(psutil.Process(process.pid), entry.epoch, time.monotonic() - began))
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit((folder / "said.txt").read_text()[-2000:])
    return looks


def look(driver: psutil.Process, epochs: int, seconds: float) -> Look:
    """The processes of a job as they are now."""
    found = Look(epochs, seconds)
    for process in [driver, *driver.children(recursive=True)]:
        try:
            role = "driver" if process == driver else role_of(process.cmdline())
            private, shared = memory_of(process.pid)
            found.memory[role] += private
            found.memory[STORE] += shared
            found.threads[role] += process.num_threads()
            found.files[role] += process.num_fds()
        except (psutil.Error, OSError):  # it has ended
            continue
    return found


def memory_of(process: int) -> tuple[float, float]:
    """MB of a process: its share of all pages but those of the object store, and of those."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    sizes = {name: int(value.split()[0]) / 1e3 for name, _, value in (line.partition(":") for line in lines[1:])}
    return sizes["Pss"] - sizes["Pss_Shmem"], sizes["Pss_Shmem"]


def role_of(words: list[str]) -> str:
    """What a process of Ray is for, by its command line."""
    title = words[0] if words else ""
    if title.startswith("ray::"):
        name = re.split(r"[.:( ]", title.removeprefix("ray::"))[0]
        return POOLED if name in ("IDLE", "") or "->" in title or "MapBatches" in title else name
    if not Path(title).name.startswith("python"):
        return Path(title).name or "?"
    # Python's own options come before the script or module that it runs.
    return next((Path(word).name for word in words[1:] if not word.startswith("-")), "?")


def publish(looks: list[Look]) -> None:
    """Print the roles, and the figures of the bars."""
    first, last = looks[0], looks[-1]
    table = Table(title=f"From epoch {first.epochs} to {last.epochs}", title_justify="left")
    for column in ("role", "MB", "then", "threads", "then", "files", "then"):
        table.add_column(column, justify="left" if column == "role" else "right")
    grown = 0.0
    for role in sorted(first.memory.keys() | last.memory.keys()):
        before, after = _level(looks[:3], role), _level(looks[-3:], role)
        counts = (first.threads[role], last.threads[role], first.files[role], last.files[role])
        table.add_row(role, f"{before:.0f}", f"{after:.0f}", *map(str, counts))
        grown = max(grown, (after - before) / max(ALLOWED_MB, ALLOWED_SHARE * before))
    Console(width=110, highlight=False).print(table)
    half = len(looks) // 2
    early, late = _epoch_seconds(looks[:half]), _epoch_seconds(looks[half:])
    Figure("soak_growth", grown, "x").tell()
    for what, then, now in (("threads", first.threads, last.threads), ("files", first.files, last.files)):
        Figure(f"soak_{what}", max(now[role] - then[role] for role in now if role != POOLED), what).tell()
    Figure("soak_epoch_time", late / early, "x").tell()


def _level(looks: list[Look], role: str) -> float:
    return statistics.median(look.memory.get(role, 0.0) for look in looks)


def _epoch_seconds(looks: list[Look]) -> float:
    return (looks[-1].seconds - looks[0].seconds) / max(looks[-1].epochs - looks[0].epochs, 1)


if __name__ == "__main__":
    main()
