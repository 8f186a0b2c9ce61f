"""Seconds that `quorum compare` takes for 100 runs of 50 epochs and 15 figures in a local sqlite store.

    python -m benchmarks.runs.compare_runs

The store is made first, with invented figures; imports and opening the store count in the last line only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, median, new_parser, parse

FIGURES = (
    "progress/epoch", "train/epoch_loss", "progress/images_seen", "test/knn_top1", "test/accuracy_ema", "stream/rows_left_out",
    "progress/evaluation_seconds", "clusters/label_change", "clusters/head0/min_size", "clusters/head0/smallest",
    "clusters/head0/largest", "clusters/head0/empty", "clusters/head0/smallest_to_minimum", "clusters/head0/below_minimum",
    "clusters/head0/certificate_slack",
)  # fmt: skip
PARAMETERS = 60  # of a configuration


def figures(epoch: int, point: dict[str, float], draw: random.Random) -> dict[str, float]:
    """Invented figures of an epoch: the score rises, clusters approach their minimum."""
    least = 1000 * point["alpha"] / point["n"]
    known = {
        "progress/epoch": epoch, "progress/images_seen": 1000 * (epoch + 1),
        "test/knn_top1": 0.9 - 0.5 / (epoch + 1) + 0.01 * draw.random(),
        "clusters/head0/min_size": least, "clusters/head0/smallest": int(least * (epoch + draw.random()) / (epoch + 1)),
        "clusters/head0/largest": int(2000 / point["n"] * (1 + draw.random())),
    }  # fmt: skip
    return {name: float(known.get(name, draw.random())) for name in FIGURES}


def make_store(uri: str, runs: int, epochs: int) -> str:
    """A sweep over three keys with five seeds a point; returns its run id."""
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    from pipelines.tracking.mlflow_store import start_run

    draw = random.Random(0)
    tags = {"quorum.kind": "sweep", "quorum.metric": "test/knn_top1", "quorum.mode": "max"}
    parent = start_run(uri, "benchmark", "sweep", params={}, tags=tags).run_id
    points = [{"n": n, "alpha": alpha} for n, alpha in itertools.product((10, 30, 100, 300, 1000), (0.2, 0.4, 0.6, 0.8))]
    client = MlflowClient(uri)
    for index in range(runs):
        point, seed = points[index % len(points)], index // len(points)
        tags = {"mlflow.parentRunId": parent, "quorum.point": json.dumps(point, sort_keys=True), "quorum.seed": str(seed)}
        params = {f"part.key{i}": i for i in range(PARAMETERS)} | {"seed": seed, **point}
        run = start_run(uri, "benchmark", f"trial-{index}", params=params, tags=tags).run_id
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, 10 * (epoch + 1))
            for epoch in range(epochs)
            for name, value in figures(epoch, point, draw).items()
        ]
        for start in range(0, len(metrics), 1000):
            client.log_batch(run, metrics=metrics[start : start + 1000])
        client.set_terminated(run)
    return parent


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, table=False)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    return parser


def main() -> None:
    """Make the store, compare, print the seconds."""
    options = parse(command_line())
    from tune.comparison.compare import compare

    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        parent, spent = make_store(uri, options.runs, options.epochs), []
        for repeat in range(options.repeats):
            began, cpu = time.monotonic(), time.process_time()
            compared = compare([parent], uri, to=str(Path(folder) / "comparison"))
            spent.append(time.monotonic() - began)
            print(
                f"{len(compared.runs)} runs x {options.epochs} epochs x {len(FIGURES)} figures: {spent[-1]:.2f} s "
                f"({time.process_time() - cpu:.2f} s CPU, repeat {repeat}, load {os.getloadavg()[0]:.1f} "
                f"on {len(os.sched_getaffinity(0))} cores)",
                flush=True,
            )
        began = time.monotonic()
        command = [sys.executable, "-m", "quorum", "compare", parent, "--tracking.uri", uri, "--to", folder]
        subprocess.run(command, check=True, capture_output=True)
        print(f"the whole command in a fresh process, imports and opening the store included: {time.monotonic() - began:.2f} s")
    Figure("compare", median(spent), "s").tell()


if __name__ == "__main__":
    main()
