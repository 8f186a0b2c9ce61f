"""A real sqlite store of MLflow, and synthetic runs logged to it as a training and a sweep do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from pipelines.tracking.mlflow_store import start_run

STEPS, IMAGES = 10, 100  # of an epoch


@dataclass
class Store:
    """Logs runs as a training and a sweep do."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def sweep(self, name="sweep", experiment="quorum", metric="test/knn_top1", mode="max") -> str:
        tags = {"quorum.kind": "sweep", "quorum.metric": metric, "quorum.mode": mode}
        return start_run(self.uri, experiment, name, params={}, tags=tags).run_id

    def trial(self, parent, point, seed=0, *, values=(), outcome="finished", reason="", **more) -> str:
        tags = {"mlflow.parentRunId": parent, "quorum.point": json.dumps(point, sort_keys=True), "quorum.seed": str(seed)}
        tags |= {"quorum.reason": reason} if reason else {}
        return self.run(
            tags=tags, values=values, status={"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}[outcome], **more
        )

    def run(
        self, name="run", *, params=None, tags=None, values: Sequence[float] = (), metric="test/knn_top1", status="FINISHED",
        experiment="quorum", images=IMAGES, every=1, sizes=(), seconds=60,
    ) -> str:  # fmt: skip
        """A run whose metric takes `values` at the ends of its epochs."""
        run_id = start_run(self.uri, experiment, name, params=params or {}, tags=tags or {}).run_id
        start = self.client.get_run(run_id).info.start_time
        figures = []
        for epoch in range(len(values) * every):
            ends = {"progress/epoch": epoch, "progress/images_seen": images * (epoch + 1), "train/epoch_loss": 1 / (epoch + 1)}
            if (epoch + 1) % every == 0:
                ends[metric] = values[epoch // every]
            if sizes:
                ends |= dict(
                    zip(
                        ("clusters/head0/min_size", "clusters/head0/smallest", "clusters/head0/largest"),
                        sizes[epoch],
                        strict=True,
                    )
                )
            stamp = start + int(1000 * seconds * (epoch + 1) / (len(values) * every))
            figures += [Metric(key, float(value), stamp, STEPS * (epoch + 1)) for key, value in ends.items()]
        if figures:
            self.client.log_batch(run_id, metrics=figures)
        if status != "RUNNING":
            self.client.set_terminated(run_id, status, end_time=start + 1000 * seconds)
        return run_id
