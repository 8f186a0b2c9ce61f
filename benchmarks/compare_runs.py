"""Seconds that `quorum compare` takes for 100 runs of 50 epochs and 15 figures in a local sqlite store; the bar is 5 s.

    python -m benchmarks.compare_runs

The store is made first, with synthetic figures; imports and opening the store are told apart from the comparison.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
import time
from pathlib import Path

BAR = 5.0
FIGURES = (
    "epoch", "epoch_loss", "images_seen", "knn_top1", "accuracy_ema", "rows_left_out", "evaluation_seconds", "label_change",
    "min_size_head0", "cluster_size_min_head0", "cluster_size_max_head0", "empty_clusters_head0", "smallest_to_minimum_head0",
    "clusters_below_minimum_head0", "certificate_slack_head0",
)  # fmt: skip
PARAMETERS = 60  # of a configuration


def make_store(uri: str, runs: int, epochs: int) -> str:
    """A sweep over three keys with five seeds a point; returns its run id."""
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    from pipelines.tracking import start_run

    draw = random.Random(0)
    tags = {"quorum.kind": "sweep", "quorum.metric": "knn_top1", "quorum.mode": "max"}
    parent = start_run(uri, "benchmark", "sweep", params={}, tags=tags).run_id
    points = [{"n": n, "alpha": alpha} for n, alpha in itertools.product((10, 30, 100, 300, 1000), (0.2, 0.4, 0.6, 0.8))]
    client = MlflowClient(uri)
    for index in range(runs):
        point, seed = points[index % len(points)], index // len(points)
        tags = {"mlflow.parentRunId": parent, "quorum.point": json.dumps(point, sort_keys=True), "quorum.seed": str(seed)}
        params = {f"part.key{i}": i for i in range(PARAMETERS)} | {"seed": seed, **point}
        run = start_run(uri, "benchmark", f"trial-{index}", params=params, tags=tags | {"quorum.outcome": "finished"}).run_id
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, {"epoch": epoch, "images_seen": 1000 * (epoch + 1)}.get(name, draw.random()), now, 10 * (epoch + 1))
            for epoch in range(epochs)
            for name in FIGURES
        ]
        for start in range(0, len(metrics), 1000):
            client.log_batch(run, metrics=metrics[start : start + 1000])
        client.set_terminated(run)
    return parent


def main() -> None:
    """Make the store, compare, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    began = time.monotonic()
    from tune.compare import compare

    imported = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        parent = make_store(uri, options.runs, options.epochs)
        for repeat in range(options.repeats):
            began, cpu = time.monotonic(), time.process_time()
            compared = compare([parent], uri, to=str(Path(folder) / "comparison"))
            seconds = time.monotonic() - began
            print(
                f"{len(compared.runs)} runs x {options.epochs} epochs x {len(FIGURES)} figures: {seconds:.2f} s "
                f"({time.process_time() - cpu:.2f} s CPU, bar {BAR:.0f} s, repeat {repeat}, load {os.getloadavg()[0]:.1f} "
                f"on {len(os.sched_getaffinity(0))} cores)",
                flush=True,
            )
    print(f"importing the comparison took {imported:.2f} s")


if __name__ == "__main__":
    main()
