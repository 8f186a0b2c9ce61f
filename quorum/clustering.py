"""Clusters of embeddings: `cluster`, and its result to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from quorum.arguments import checked, has_place
from quorum.notebook import facts, frame_of
from quorum.settings import build_config, resumed_config

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipelines.clustering.config import ClusterConfig
    from pipelines.files.location import Location
    from pipelines.runs.run_folder import Run as RunFolder

RESUMABLE = (  # what a resumed clustering may change
    "exact", "keep_copy", "compute.workers", "compute.cpus_per_worker", "compute.gpu", "compute.max_failures", "compute.grace",
    "checkpoint.", "tracking.uri", "tracking.system_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Clustering:
    """A finished clustering: what `cluster` returns.

    Attributes:
        folder: the run's folder, opened.
        report: figures of the whole and of each head, as in `report.json`.
    """

    folder: RunFolder
    report: dict[str, Any]

    @property
    def path(self) -> str:
        """Folder or URI."""
        return str(self.folder.location)

    @property
    def labels(self) -> pd.DataFrame:
        """Cluster and similarity of each row by id, for each head; read whole into memory."""
        return read_labels(self.folder.location)

    @property
    def sizes(self) -> pd.DataFrame:
        """Rows, bounds and mean similarity of each cluster."""
        return frame_of(self.folder.location / "sizes.parquet")

    def centers(self, head: int = 0) -> np.ndarray:
        """Centers (K, D) float32 of a head."""
        import numpy as np

        table = frame_of(self.folder.location / "centers.parquet")
        rows = np.stack(table["center"].to_list())
        mine: np.ndarray = rows[table["head"].to_numpy() == head]
        return mine

    def __repr__(self) -> str:
        return f"Clustering({self.path}: {self.report['rows']:,} rows)"

    def _repr_html_(self) -> str:
        import pandas as pd

        whole = {key: value for key, value in self.report.items() if key != "heads"}
        heads: str = pd.DataFrame(self.report["heads"]).rename_axis("head").to_html()
        return facts(f"quorum cluster: {self.path}", whole) + heads


def read_labels(folder: Location) -> pd.DataFrame:
    """The labels that a clustering or an assignment has in its folder, read whole into memory."""
    labels = folder / "labels"
    return frame_of(*(labels / name for name in labels.children()))


@checked
def open_clusters(path: str | Path) -> Clustering:
    """The finished clustering in a folder.

    Raises:
        UserError: for a folder without one.
    """
    from pipelines.clustering.config import ClusterConfig
    from pipelines.files.documents import read_note
    from pipelines.runs.run_folder import Run

    folder = Run.open(str(path), kind=ClusterConfig.kind)
    report = folder.location / "report.json"
    if not report.exists():
        raise UserError(f"{path} is not finished; go on with it: quorum cluster --resume {quote(str(path))}")
    return Clustering(folder, read_note(report, rows=int, heads=list))


@checked
def cluster(
    config: str | Path | ClusterConfig | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    address: str | None = None,
    **keys: Any,
) -> Clustering:
    """Cluster embeddings in Parquet, of any number, with a minimum size for every cluster.

    Args:
        config: a file of these keys, or a configuration.
        settings: values by dotted keys on top of it.
        resume: folder of a clustering to go on with, instead of a configuration.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.
        **keys: as `data="data/embeddings"`, `to="clusters/first"`, `num_clusters=100`, `exact=True`.

    Raises:
        UserError: for input that cannot work, or a run that had to stop.
        KeyboardInterrupt: when the user stops it; what was saved is whole.
    """
    from pipelines.clustering.config import ClusterConfig

    if (data := keys.get("data")) is not None and not has_place(data):
        raise UserError(
            f"data is a value of type {type(data).__name__}; give a Parquet file or a folder of such, and cluster rows in memory "
            "by quorum.ConstrainedKMeans"
        )
    if "storage" in keys:  # as the runs of the other commands are placed
        keys = _placed(keys)
    if resume is None:
        made = build_config(ClusterConfig, config, settings, keys)
    else:
        made = resumed_config(ClusterConfig, resume, config, RESUMABLE, settings, keys)
    from pipelines.clustering.launch import cluster as run  # torch, Ray and MLflow, which a mistake need not wait for

    done = run(made, address=address, resume=None if resume is None else str(resume))
    return Clustering(done.run, done.report)


def _placed(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys with the folder that `storage` and `name` say in two parts."""
    if "to" in keys or "name" not in keys:
        raise UserError("storage goes with name, and both stand for to; give storage and name, or only to")
    return {"to": f"{keys['storage']}/{keys['name']}", **{key: value for key, value in keys.items() if key != "storage"}}
