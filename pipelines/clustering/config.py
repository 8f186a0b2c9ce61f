"""The typed configuration of `quorum cluster`, and what can be said of it before a worker starts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from algos.check_ranges import require_positive, require_seed, require_size_ratios
from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.idle_settings import Idle, other_than
from algos.kmeans.batches import LEAST_BATCHES, batch_rows
from algos.kmeans.metric import Metric
from algos.methods.assignment import IDLE_DUAL_LR
from pipelines.config.plain_values import plain
from pipelines.config.sections import CheckpointConfig, ComputeConfig, TrackingConfig
from pipelines.errors import UserError
from pipelines.stream.epoch_order import StreamShape
from pipelines.words import counted

if TYPE_CHECKING:
    from pipelines.datasets.embedding_folder import EmbeddingFolder

TASK_BYTES = 256 << 20  # of the rows that one Data task holds, where the window is chosen for the user
LEAST_WINDOW = 1024


def _frequent_checkpoints() -> CheckpointConfig:
    return CheckpointConfig(every_steps=1000)


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """A clustering of vectors in Parquet.

    Attributes:
        data: Parquet file with the embeddings, or folder of such files, a local path or URI.
        to: folder of the run and its result; empty or absent at the start, where every node reaches it.
        num_clusters: K, or a list for several heads; null takes those of `start_from`, or the product of `levels`.
        levels: M and C for K = M * C clusters on two levels: each row is compared with M parents and some C clusters below one.
        column: of the vectors.
        id: column of integer or string ids; null takes `id` where there is one, else numbers the rows over the sorted files.
        start_from: finished run of `quorum cluster`, or a file of centers, to start from: clusters keep their numbers.
        metric: cosine, by which only directions count, or euclidean: centers are means, and rows are the nearer the closer.
        min_size_ratio: a cluster's minimum as a share of N / K, in [0, 1]: 0 is plain k-means, 1 asks for equal sizes.
        max_size_ratio: a cluster's maximum as a ratio to N / K, 1 or more; null for no maximum.
        exact: end with labels under which every cluster keeps its bounds, by the cheapest moves of rows; auto does so too, and
            false leaves the labels of the last prices, near the bounds.
        dual_lr: step size of the prices in the first pass, falling with 1 / pass; null takes the core's rule.
        passes: over all rows, before the one that writes labels; with `levels` as many for each of them.
        batch_size: rows of a global batch, a multiple of lanes; null takes N / 32 within [max(256, K), 8192].
        lanes: most workers that can share the run. Part of its identity, as batch_size and window are.
        window: rows of a lane that are shuffled together and read by one task; null takes the largest row group, within 256 MB.
        copy: whether a shuffled copy of the vectors is written below `to` and streamed in their place: `always`, `never`, or
            `auto`: where files are unfit for the stream, by row groups too large for its windows or rows in an order.
        copy_dtype: of the copy's numbers, float32 or float16.
        keep_copy: leave the copy there at the end.
        compute: see `ComputeConfig`.
        checkpoint: besides the end of each pass.
        tracking: see `TrackingConfig`; without a server, a sqlite file beside the folder `to`.
        name: of the MLflow run; null takes the name of `to`.
        seed: of the first centers and the order of the rows.
    """

    kind: ClassVar[str] = "cluster"
    idle: ClassVar[tuple[Idle, ...]] = (IDLE_DUAL_LR, Idle(("copy_dtype",), {"copy": other_than("never")}, "allow a copy"))
    input_paths: ClassVar[tuple[str, ...]] = ("data", "start_from")  # in a file of options they may be relative to it

    data: str
    to: str
    num_clusters: int | list[int] | None = None
    levels: list[int] | None = None
    column: str = "embedding"
    id: str | None = None
    start_from: str | None = None
    metric: Metric = "cosine"
    min_size_ratio: float = 0.4
    max_size_ratio: float | None = None
    exact: bool | Literal["auto"] = "auto"
    dual_lr: float | None = None
    passes: int = 5
    batch_size: int | None = None
    lanes: int = 8
    window: int | None = None
    copy: Literal["auto", "always", "never"] = "auto"
    copy_dtype: Literal["float32", "float16"] = "float32"
    keep_copy: bool = False
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    checkpoint: CheckpointConfig = field(default_factory=_frequent_checkpoints)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    name: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        if self.num_clusters is None and self.levels is None and self.start_from is None:
            raise UserError("num_clusters is missing; give it, a recipe that has it, or start_from")
        if self.num_clusters is not None and min(self.heads, default=0) < 1:
            raise UserError(f"num_clusters is {self.num_clusters}; give at least one head of at least one cluster")
        self._check_levels()
        require_positive(self, "passes", "lanes", "batch_size", "window", "dual_lr")
        require_seed(self)
        require_size_ratios(self)
        if self.metric == "euclidean" and self.copy_dtype == "float16":
            raise UserError("copy_dtype float16, metric euclidean: numbers far from 0 would lose their differences; set float32")
        if self.tracking.models not in (None, "none"):
            raise UserError(f"tracking.models is {self.tracking.models}, but a clustering trains no network; leave it out")
        if self.keep_copy and self.copy == "never":
            raise UserError("keep_copy is set, but copy is never, so there is no copy to keep; leave one of them out")
        if self.compute.workers > self.lanes:
            raise UserError(f"{self.compute.workers} workers, but lanes is {self.lanes}; set lanes to at least the workers")
        if self.batch_size is not None and self.batch_size % self.lanes:
            raise UserError(f"batch_size {self.batch_size} is not a multiple of lanes {self.lanes}; change one of them")

    def _check_levels(self) -> None:
        if self.levels is None:
            return
        if len(self.levels) != 2 or min(self.levels) < 1:
            raise UserError(f"levels is {self.levels}; give two numbers of at least 1, [M, C]: M parents of some C clusters each")
        clusters = math.prod(self.levels)
        if self.start_from is not None:
            raise UserError("levels and start_from are set, but a clustering on two levels starts anew; leave one of them out")
        if len(self.heads) != 1:
            raise UserError(f"num_clusters is {self.num_clusters}, {len(self.heads)} heads, and levels make one; leave it out")
        if self.heads[0] != clusters:
            raise UserError(f"num_clusters is {self.num_clusters}, and levels {self.levels} make {clusters}; leave it out")

    @property
    def all_passes(self) -> int:
        """Passes over all rows, of all levels."""
        return self.passes * len(self.levels or [1])

    @property
    def heads(self) -> list[int]:
        """K of each head; none where the clusters that are started from tell."""
        if self.num_clusters is None:
            return [] if self.levels is None else [math.prod(self.levels)]
        return [self.num_clusters] if isinstance(self.num_clusters, int) else list(self.num_clusters)

    def exact_bounds(self, rows: int) -> list[tuple[int, int | None]]:
        """Least and most rows of a cluster, of each head, as exact sizes keep them; `None` for no maximum."""
        ratio = self.max_size_ratio
        return [
            (minimum_rows(self.min_size_ratio, rows, clusters), None if ratio is None else maximum_rows(ratio, rows, clusters))
            for clusters in self.heads
        ]

    def bounds(self, rows: int) -> list[tuple[float, float]]:
        """Least and most rows that a cluster of each head is to have: ratios to the mean size, which exact sizes round."""
        if self.exact:
            return [(float(least), math.inf if most is None else float(most)) for least, most in self.exact_bounds(rows)]
        ratio = math.inf if self.max_size_ratio is None else self.max_size_ratio
        return [(self.min_size_ratio * rows / clusters, ratio * rows / clusters) for clusters in self.heads]

    def check(self, vectors: EmbeddingFolder) -> None:
        """Refuse what cannot work with these vectors.

        Raises:
            UserError: naming the key and what to change.
        """
        rows, most = vectors.rows, max(self.heads)
        if most > rows:
            asked = f"num_clusters is {most}" if self.levels is None else f"levels {self.levels} make {most} clusters"
            raise UserError(f"{asked}, but {self.data} has {counted(rows, 'row')}; choose fewer clusters")
        if (self.batch_size or self.lanes) > rows:
            key, value = ("batch_size", self.batch_size) if self.batch_size else ("lanes", self.lanes)
            raise UserError(f"{key} {value} exceeds the {rows} rows of {self.data}; choose a smaller one")

    def shape(self, vectors: EmbeddingFolder) -> StreamShape:
        """How a pass is cut into batches: a function of the configuration and the vectors, whatever the number of workers."""
        rows = min(batch_rows(vectors.rows, max(self.heads)), vectors.rows // LEAST_BATCHES)
        batch_size = self.batch_size or max(rows // self.lanes, 1) * self.lanes
        groups = max(max(shard.row_groups, default=0) for shard in vectors.shards)
        window = self.window or max(min(groups, TASK_BYTES // (4 * vectors.dim * self.lanes)), LEAST_WINDOW)
        return StreamShape(batch_size, self.lanes, window)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as a file holds them."""
        values: dict[str, Any] = plain(asdict(self))
        return values
