"""What `quorum cluster` leaves behind besides the labels: tables, report and manifest in the run's folder, figures in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch

from algos.kmeans.metric import Metric
from algos.scores import size_figures
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder
from pipelines.clustering.levels.parent_files import PARENTS, ParentSizes, with_parents
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.files.documents import write_document
from pipelines.files.location import Location
from pipelines.tracking import figures as names
from pipelines.tracking.epoch_snapshot import EpochSnapshot
from pipelines.tracking.record import Record

CLUSTERS_MANIFEST, REPORT = "clusters.json", "report.json"
CENTERS, SIZES = "centers.parquet", "sizes.parquet"
METRIC_KEY = b"quorum.metric"  # of the metadata of a file of centers
CLUSTERS_FORMAT = 1


@dataclass(frozen=True)
class Head:
    """What the labels of one head came to: rows (K,) of each cluster, sums (K,) of their similarities, its bounds in rows.

    Similarities are in units of the data: cosines, or minus half the squared distance. `exact` holds figures of the repair,
    where there was one, `since_start` those of rows that changed their cluster, where the run started from others; `maximum` is
    infinity where there is none.
    """

    counts: np.ndarray
    sums: np.ndarray
    minimum: float
    maximum: float
    exact: dict[str, float]
    metric: Metric = "cosine"
    since_start: dict[str, float] = field(default_factory=dict)

    @classmethod
    def all_of(cls, labelled: LabelledFolder, bounds: Sequence[tuple[float, float]], exact: list[dict[str, float]]) -> list[Head]:
        """The heads; `bounds` are the least and the most rows that a cluster of each was to have."""
        model = labelled.model
        counts, sums = model.per_head(labelled.counts), model.per_head(labelled.sums * labelled.vectors.form.unit)
        parts = zip(counts, sums, bounds, exact, labelled.since_start(), strict=True)
        return [cls(n, total, *mine, figures, model.metric, changed) for n, total, mine, figures, changed in parts]

    @property
    def similarity(self) -> float:
        """Mean similarity of a row to its center."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def inertia(self) -> float:
        """Sum of the squared distances of rows to their centers, where the metric is Euclidean."""
        return float(-2 * self.sums.sum())

    def report(self) -> dict[str, float]:
        """The figures of `report.json`."""
        above = {
            "maximum": self.maximum, "above_maximum": int((self.counts > self.maximum).sum()),
            "rows_too_many": float(np.clip(self.counts - self.maximum, 0, None).sum()),
        }  # fmt: skip
        return {
            "clusters": len(self.counts), "minimum": self.minimum, "smallest": int(self.counts.min()),
            "largest": int(self.counts.max()), "below_minimum": int((self.counts < self.minimum).sum()),
            "rows_missing": float(np.clip(self.minimum - self.counts, 0, None).sum()),
            **(above if self.maximum < np.inf else {}), "mean_similarity": self.similarity,
            **({"inertia": self.inertia} if self.metric == "euclidean" else {}), **self.exact, **self.since_start,
        }  # fmt: skip

    def figures(self) -> dict[str, float]:
        """What MLflow gets, by plain names."""
        sizes = size_figures(torch.from_numpy(self.counts), self.minimum, self.maximum)
        return sizes | {"similarity": self.similarity} | self.exact | self.since_start


def write_tables(folder: Location, model: FrozenClusters, heads: list[Head], parents: ParentSizes | None = None) -> None:
    """Write `centers.parquet`, `sizes.parquet` and, of clusters with parents, `parents.parquet`, in units of the data."""
    centers = cluster_table(model)
    counts, sums = (np.concatenate([getattr(head, part) for head in heads]) for part in ("counts", "sums"))
    mean = pa.array(sums / np.maximum(counts, 1), mask=counts == 0)
    minimum, maximum = (np.repeat([getattr(head, bound) for head in heads], model.heads) for bound in ("minimum", "maximum"))
    bounds = {"minimum": minimum, "maximum": pa.array(maximum, mask=maximum == np.inf)}
    names = {name: centers[name] for name in ("head", "cluster")}
    sizes = pa.table(names | {"rows": counts, **bounds, "similarity": mean})
    (folder / CENTERS).write_parquet(with_parents(centers, model), write_page_checksum=True)
    (folder / SIZES).write_parquet(with_parents(sizes, model), write_page_checksum=True)
    if model.parents is not None and parents is not None:
        parents.write(folder, model.parents)


def cluster_table(model: FrozenClusters) -> pa.Table:
    """`head`, `cluster`, `center` and `price` of all clusters."""
    columns = {
        "head": pa.array(np.repeat(np.arange(len(model.heads)), model.heads), pa.int32()),
        "cluster": pa.array(np.concatenate([np.arange(size) for size in model.heads]), pa.int32()),
        "center": pa.FixedSizeListArray.from_arrays(pa.array(model.centers.reshape(-1)), model.centers.shape[1]),
    }
    return pa.table(columns | {"price": pa.array(model.prices)}).replace_schema_metadata({METRIC_KEY: model.metric})


def record_result(
    record: Record, step: int, passes: int, heads: list[Head], rate: float, clusters: np.ndarray, parents: ParentSizes | None
) -> None:
    """Record the labels' figures, what pictures are drawn of, and the tables; all of it beside what the passes left.

    Args:
        record: of the run.
        step: of the run.
        passes: that it had.
        heads: what their labels came to.
        rate: rows labelled a second.
        clusters: (H, N) labels by instance id, for sheets of images and figures against the truth; N is 0 without images.
        parents: of the clusters; `None` where they have none.
    """
    figures = {names.LABELS_PER_SECOND: rate} | names.of_heads((head.figures() for head in heads), names.LABELS)
    figures |= {} if parents is None else names.of_heads([parents.figures()], names.PARENTS)
    state = EpochSnapshot(clusters, [head.counts for head in heads], [(head.minimum, head.maximum) for head in heads])
    record.epoch(passes, step, figures, state, pictures=True)
    record.files([REPORT, CENTERS, SIZES, *([] if parents is None else [PARENTS])], "clustering")
    record.flush()


def close_result(
    folder: Location, vectors: EmbeddingFolder, heads: list[int], *, exact: bool, metric: Metric, levels: list[int] | None = None
) -> None:
    """Write the manifest: a folder without it holds no finished clustering."""
    content = {
        "rows": vectors.rows, "data": vectors.fingerprint, "heads": heads, "labels": "labels",
        "exact": exact, "metric": metric, **({} if levels is None else {"levels": levels}),
    }  # fmt: skip
    write_document(folder / CLUSTERS_MANIFEST, content, CLUSTERS_FORMAT)
