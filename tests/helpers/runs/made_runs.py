"""Runs in folders of their own whose clusters are told, made without training: everything else is as a command leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from mlflow.tracking import MlflowClient

from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.result_files import Head, close_result, write_tables
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.config.training_plan import build_method
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.image_shards import Dataset
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import new_backbone
from pipelines.tracking.figures import EPOCH, IMAGES_SEEN
from tests.helpers.places import COKE_DIGITS
from tests.helpers.runs.recorded_runs import IMAGES, STEPS

SMALLEST = {"backbone.name": "wrn-10-1", "method.dim": 4, "method.predictor_hidden": 4}


@dataclass(frozen=True)
class RunMaker:
    """Makes runs on a data set, in a folder whose store of MLflow has them."""

    folder: Path
    dataset: Dataset

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def pretrained(
        self, name: str, labels: Sequence[Sequence[int]], heads: Sequence[int], *, scores: Sequence[float] = (), **settings: Any
    ) -> str:  # fmt: skip
        """A run of CoKe whose one checkpoint has these clusters; `scores` are those of its epochs."""
        more = {key.replace("__", "."): value for key, value in settings.items()}
        told = {"data": str(self.dataset.location), "name": name, "method.num_clusters": list(heads)}
        config = read_recipe(COKE_DIGITS, PretrainConfig, {**SMALLEST, **told, **more})
        run = self._start("pretrain", name, config.to_dict(), self.dataset.fingerprint)
        method = build_method(config, new_backbone(config), self.dataset, None)
        method.memory.labels.copy_(torch.tensor(labels, dtype=torch.int32))
        run.checkpoints.save({"method": method.state_dict()}, epoch=1, step=0, global_step=STEPS)
        self._log(run, {"test/knn_top1": scores} if scores else {})
        return str(run.location)

    def clustered(self, name: str, vectors: Path, labels: Sequence[int], clusters: int) -> str:
        """A finished clustering of vectors with these labels, in the order of the rows."""
        opened = EmbeddingFolder.open(str(vectors))
        config = {
            "data": str(vectors),
            "column": "embedding",
            "id": None,
            "num_clusters": clusters,
            "to": str(self.folder / name),
        }
        run = self._start("cluster", name, config, opened.fingerprint)
        model = FrozenClusters([clusters], np.eye(clusters, opened.dim, dtype=np.float32), np.zeros(clusters, np.float32))
        counts = np.bincount(labels, minlength=clusters)
        write_tables(run.location, model, [Head(counts, counts.astype(float), 0.0, np.inf, {})])
        ids = np.concatenate([opened.read_ids(shard, 0).to_numpy() for shard in range(len(opened.shards))])
        (run.location / "labels").make()
        table = pa.table(
            {"id": ids, "label_head0": pa.array(labels, pa.int64()), "similarity_head0": np.ones(len(ids), np.float32)}
        )
        pq.write_table(table, Path(run.location.path) / "labels" / "part-000000.parquet")
        close_result(run.location, opened, [clusters], exact=False, metric="cosine")
        self._log(run, {})
        return str(run.location)

    def _start(self, kind: str, name: str, config: dict[str, Any], fingerprint: str) -> Run:
        place = Location.of(str(self.folder / name))
        return Run.start(
            place, kind, config, fingerprint, uri=self.uri, experiment="quorum", name=name, params={}, tags={}
        )  # fmt: skip

    def _log(self, run: Run, figures: dict[str, Sequence[float]]) -> None:
        client = MlflowClient(self.uri)
        for name, values in figures.items():
            for epoch, value in enumerate(values):
                told = {name: value, EPOCH: float(epoch), IMAGES_SEEN: float(IMAGES * (epoch + 1))}
                for key, figure in told.items():
                    client.log_metric(run.address.run_id, key, figure, step=STEPS * (epoch + 1))
        client.set_terminated(run.address.run_id, "FINISHED")
