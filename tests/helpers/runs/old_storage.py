"""What version 0.1 left as a storage that is cleaned: runs that end as wished, aged, and named by others."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

from pipelines.cleaning.clean import Plan, plan_cleaning
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore
from tests.helpers.runs.version_0_1 import unpack

DAY = 86400.0
OLD = "step-000000014.pt"  # of the two checkpoints of `coke`: the other is the best and the last


def age(folder: Path, days: float = 30.0) -> None:
    then = time.time() - days * DAY
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then), follow_symlinks=False)


def end(run: Path, status: str | None) -> None:
    """Let a run's journal end so, a month ago; without a status as if it had been killed."""
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["kind"] != "status"] + [{"kind": "status", "status": "RUNNING", "time": 1}]
    if status:
        lines.append({"kind": "status", "status": status, "time": 2})
    (run / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if (config := run / "config.yaml").exists():  # it has not come to its end
        config.write_text(re.sub(r"(?m)^(epochs|passes): \d+", r"\1: 9", config.read_text()))
    age(run)


def named(run: Path, place: str, key: str = "init_from", file: str = "config.yaml") -> None:
    """Let a run's configuration name another's."""
    config = run / file
    config.write_text(config.read_text().replace(f"{key}: null\n", "") + f"{key}: {place}\n")
    age(run)


def plan(place: Path | str, *, failed: bool = False, unfinished: bool = False, idle: float = DAY) -> Plan:
    return plan_cleaning(str(place), failed=failed, unfinished=unfinished, idle_seconds=idle)


def going(found: Plan) -> set[tuple[str, str]]:
    return {(str(one.kind), one.path) for one in found.waste}


def old_storage(folder: Path, *, checkpoints: bool = True) -> Path:
    """The storage, as if it had been a month ago; without old checkpoints MLflow need not be asked."""
    made = unpack(folder) / "outputs"
    for run in () if checkpoints else ("coke", "clusters"):
        store = CheckpointStore(Location.of(made / run / "checkpoints"))
        store.keep_only({store.entries()[-1].file})
    age(made)
    return made
