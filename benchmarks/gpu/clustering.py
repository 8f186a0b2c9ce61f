"""Constrained k-means on a GPU: one step at each number of clusters, and the whole job over files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from benchmarks.gpu.clock import in_turn
from benchmarks.gpu.results import Row
from benchmarks.runs.cluster_job import write_vectors
from benchmarks.runs.command import figures, quorum
from pipelines.tracking.figures import ROWS_PER_SECOND

CLUSTERS = (1000, 3000, 10_000, 30_000, 100_000)
BATCH, DIM = 8192, 128


def pass_rows() -> Iterator[Row]:
    """A step against the product and maximum of the same batch that no k-means can avoid."""
    for clusters in CLUSTERS:
        kmeans = OnlineConstrainedKMeans([clusters], DIM, batches_per_epoch=100, max_size_ratio=2.0).cuda()
        batch = F.normalize(torch.randn(BATCH, DIM, device="cuda"), dim=1)
        centers = kmeans.centers.clone()
        bare, ours = in_turn([lambda b=batch, c=centers: (b @ c.T).max(dim=1), lambda k=kmeans, b=batch: k.partial_fit(b)], 20, 3)
        torch.cuda.reset_peak_memory_stats()
        kmeans.partial_fit(batch)
        yield {
            "K": clusters, "D": DIM, "batch": BATCH, "step ms": 1e3 * ours, "rows/s": BATCH / ours, "step / bare": ours / bare,
            "peak GiB": torch.cuda.max_memory_allocated() / 2**30,
        }  # fmt: skip


def job_rows(work: Path, rows: int, dim: int) -> Iterator[Row]:
    """`quorum cluster --compute.gpu` over files: rows a second of its passes, and the whole command's time."""
    vectors = write_vectors(work / "vectors", np.random.default_rng(0).standard_normal((rows, dim), dtype=np.float32))
    for clusters in (1000, 10_000, 100_000):
        run, began = work / f"clusters-{clusters}", time.monotonic()
        quorum(
            "cluster", "--data", str(vectors), "--to", str(run), "--num-clusters", str(clusters), "--passes", "2",
            "--batch-size", "16384", "--no-exact", "--compute.gpu",
        )  # fmt: skip
        labelled = json.loads((run / "report.json").read_text())["label_rows_per_second"]
        yield {
            "rows": rows, "D": dim, "K": clusters, "pass rows/s": figures(run, ROWS_PER_SECOND)[-1],
            "label rows/s": labelled, "command s": time.monotonic() - began,
        }  # fmt: skip
