"""The jobs that are disturbed: how each is started and gone on with, how far it is, and all that it comes to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from mlflow.tracking import MlflowClient

from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore
from pipelines.runs.run_folder import RUN_FILE, Run

STEPS = 20  # of an epoch, or a little more; a kill comes after the first epoch
NETWORK = [
    "--backbone.name", "wrn-10-1", "--method.dim", "16", "--compute.threads", "1",
    "--checkpoint.every_steps", "7", "--checkpoint.keep_last", "50", "--monitor.log_steps", "5", "--monitor.picture_epochs", "0",
]  # fmt: skip
VECTORS, DIM = 2000, 8
NOT_COMPARED = ("stream/", "system/", "labels/rows_per_second")  # rates and times


@dataclass(frozen=True)
class Job:
    """A kind of job.

    Attributes:
        name: of it.
        command: of `quorum`.
        given: words after the command; data and place come besides.
        placed_by: option of its folder.
        steps: global steps from which the kill is drawn.
    """

    name: str
    command: str
    given: list[str]
    placed_by: str
    steps: range

    def start(self, inputs: Path, folder: Path, uri: str) -> list[str]:
        """Words that start it in a folder that is not there yet."""
        place = [str(folder)] if self.placed_by == "--to" else [str(folder.parent), "--name", folder.name]
        given = [word.replace("INPUTS", str(inputs)) for word in self.given]
        return [self.command, *given, self.placed_by, *place, "--tracking.uri", uri, "--address", "local"]

    def go_on(self, folder: Path) -> list[str]:
        """Words that go on with it."""
        return [self.command, "--resume", str(folder), "--address", "local"]


JOBS = {
    job.name: job
    for job in (
        Job(
            "pretrain", "pretrain",
            ["--config", "coke_digits", "--data", "INPUTS/digits", *NETWORK, "--batch_size", "64", "--epochs", "4",
             "--method.num_clusters", "[30, 20]"],
            "--storage", range(STEPS, 3 * STEPS),
        ),
        Job(
            "semisup", "semisup",
            ["--config", "protocon_digits", "--data", "INPUTS/digits", "--labels", "INPUTS/few.json", *NETWORK,
             "--batch_size", "8", "--epochs", "4"],
            "--storage", range(STEPS, 3 * STEPS),
        ),
        Job(
            "cluster", "cluster",
            ["--data", "INPUTS/vectors", "--num_clusters", "[20, 7]", "--batch_size", "96", "--lanes", "4", "--window", "64",
             "--passes", "4", "--checkpoint.every_steps", "8", "--checkpoint.keep_last", "50"],
            "--to", range(STEPS, 3 * STEPS),
        ),
        Job("sweep", "sweep", ["--config", "INPUTS/sweep.yaml"], "--storage", range(STEPS // 2, 2 * STEPS)),
    )
}  # fmt: skip
SWEEP = """kind: pretrain
recipe: coke_digits
name: sweep
metric: train/epoch_loss
mode: min
space: {optimizer.lr: {grid: [0.03, 0.05]}}
concurrent: 1
settings: {data: INPUTS/digits, epochs: 3, batch_size: 64, method.dim: 16, backbone.name: wrn-10-1, compute.threads: 1,
  checkpoint.every_steps: 7, checkpoint.keep_last: 50, monitor.picture_epochs: 0, monitor.log_steps: 5}
"""


def write_inputs(inputs: Path) -> None:
    """What the jobs work on, apart from the digits, which are ingested."""
    random = np.random.default_rng(0)
    rows = (random.normal(size=(15, DIM))[np.sort(random.integers(15, size=VECTORS))] + random.normal(size=(VECTORS, DIM))) / 2
    (inputs / "vectors").mkdir()
    flat = pa.array(rows.astype(np.float32).reshape(-1))
    table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(flat, DIM)})
    pq.write_table(table, inputs / "vectors" / "all.parquet", row_group_size=150)
    (inputs / "sweep.yaml").write_text(SWEEP.replace("INPUTS", str(inputs)))


def runs_of(folder: Path) -> list[Path]:
    """The run in a folder, or the trials of the sweep in it."""
    if (folder / RUN_FILE).exists():
        return [folder]
    return sorted(child.parent for child in folder.glob(f"*/{RUN_FILE}"))


def steps_done(folder: Path) -> int:
    """Global steps of the newest checkpoint of each run together."""
    newest = (CheckpointStore(Location.of(run / "checkpoints")).latest() for run in runs_of(folder))
    return sum(entry.global_step for entry in newest if entry)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a job has come to, by name: tensors of its last checkpoints, labels, and figures with their steps."""
    return dict(_outcome(folder))


def _outcome(folder: Path) -> Iterator[tuple[str, Any]]:
    for run in runs_of(folder):
        store = CheckpointStore(Location.of(run / "checkpoints"))
        entry = store.latest()
        if entry is not None:
            state = {key: value for key, value in store.load(entry).items() if key not in ("config", "identity")}
            yield from _leaves(f"{run.name}/state", state)
        if (run / "labels").exists():
            table = pa.concat_tables(pq.read_table(file) for file in sorted((run / "labels").glob("*.parquet")))
            yield from ((f"{run.name}/labels/{name}", table[name].to_pylist()) for name in table.column_names)
        yield from _figures(run)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{name}/{key}", item)
    elif not (name.startswith(NOT_COMPARED) or "figures/stream" in name):
        yield name, value


def _figures(run: Path) -> Iterator[tuple[str, Any]]:
    address = Run.open(str(run)).address
    client = MlflowClient(address.uri)
    found = client.get_run(address.run_id)
    yield f"{run.name}/status", found.info.status
    for name in found.data.metrics:
        if not name.startswith(NOT_COMPARED) and "seconds" not in name:
            points = client.get_metric_history(address.run_id, name)
            yield f"{run.name}/{name}", sorted({(point.step, point.value) for point in points})


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of what is not equal, tensors bit by bit."""
    names = sorted(first.keys() | second.keys())
    return [name for name in names if name not in first or name not in second or not _equal(first[name], second[name])]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    return bool(first == second) or json.dumps(first, default=str) == json.dumps(second, default=str)
