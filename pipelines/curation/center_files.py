"""Centers for other programs: NumPy, Parquet, or an index of faiss that finds the nearest, as a coarse quantizer does."""

from __future__ import annotations

import importlib
import io
import posixpath
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.clustering.finished_clusters import open_clusters
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.result_files import cluster_table
from pipelines.curation.own_files import refuse_own
from pipelines.errors import UserError
from pipelines.files.location import Location

SUFFIXES = (".npy", ".faiss", ".parquet")


@dataclass(frozen=True)
class CenterFile:
    """A file of centers.

    Attributes:
        location: of the file.
        clusters: K.
        dim: numbers of each center, with the one for its price where prices are in it.
        metric: cosine or euclidean.
        priced: whether a cluster's price is not 0, and the file lacks it.
    """

    location: Location
    clusters: int
    dim: int
    metric: str
    priced: bool


def write_centers(
    place: str, to: str, *, head: int = 0, prices: bool = False, metric: str | None = None, overwrite: bool = False
) -> CenterFile:  # fmt: skip
    """Write the centers of one head.

    With `prices` each center has one number more, so that the nearest center is the label: of unit rows with a 1 behind them by
    the inner product, or in Euclidean geometry of rows with a 0 behind them by the distance.

    Args:
        place: a clustering's folder, or a file of centers.
        to: file to write: .npy, (K, D) float32; .faiss, an `IndexFlatIP` of unit centers, or an `IndexFlatL2`; or .parquet, with
            the columns of `centers.parquet`, whose numbers keep their type.
        head: whose centers.
        prices: add the prices.
        metric: of a file of centers; default cosine.
        overwrite: replace the file.

    Raises:
        UserError: for another file name or metric, a file that is there, a head that is not, or faiss that is not installed.
    """
    target = Location.of(to)
    suffix = posixpath.splitext(target.path)[1].lower()
    if suffix not in SUFFIXES:
        raise UserError(f"--to is {to!r}; name a file that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if prices and suffix == ".parquet":
        raise UserError("--prices is for .npy and .faiss; a Parquet file has the prices in a column of its own")
    found = open_clusters(place, metric)
    refuse_own(target, found.location, rows=(found.config or {}).get("data"))
    target.check_free(overwrite=overwrite)
    model = found.head(head)
    if prices and model.parents is not None:
        raise UserError(f"clusters of {place} are on two levels, and no price of one cluster tells its label; leave --prices out")
    with np.errstate(over="ignore"):
        centers = with_prices(model) if prices else model.centers.astype(np.float32)
    if suffix != ".parquet":
        _check_range(centers, model, suffix)
    content = b"" if suffix == ".parquet" else _faiss(centers, model) if suffix == ".faiss" else _npy(centers)
    target.parent.make()
    if suffix == ".parquet":
        target.write_parquet(cluster_table(model))
    else:
        target.write_bytes(content)
    priced = bool(model.prices.any()) and not prices and suffix != ".parquet"
    return CenterFile(target, len(centers), centers.shape[1], model.metric, priced)


def _check_range(centers: np.ndarray, model: FrozenClusters, suffix: str) -> None:
    """Refuse centers whose numbers float32 does not hold, too large or all too small."""
    mine = centers[:, : model.centers.shape[1]]
    lost = ~np.isfinite(centers).all(axis=1) | (model.centers.any(axis=1) & ~mine.any(axis=1))
    if lost.any():
        raise UserError(
            f"center {int(lost.argmax())} does not fit the float32 of a {suffix} file; give one that ends in .parquet"
        )


def with_prices(model: FrozenClusters) -> np.ndarray:
    """(K, D + 1) float32 centers whose last number does what the price does to a label."""
    prices = model.prices.astype(np.float64)
    # x . c + p is (x, 1) . (c, p); x . c - |c|^2 / 2 + p is, but for what all clusters share, -|(x, 0) - (c, q)|^2 / 2 with
    # q^2 = 2 (greatest p - p).
    last = prices if model.metric == "cosine" else np.sqrt(2 * (prices.max() - prices))
    return np.column_stack([model.centers, last]).astype(np.float32)


def _npy(centers: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, centers)
    return file.getvalue()


def _faiss(centers: np.ndarray, model: FrozenClusters) -> bytes:
    try:
        faiss: Any = importlib.import_module("faiss")
    except ImportError as error:
        raise UserError(
            f"an index of faiss needs it ({error}): pip install 'quorum-kmeans[faiss]', or give --to FILE.npy"
        ) from error
    index = (faiss.IndexFlatIP if model.metric == "cosine" else faiss.IndexFlatL2)(centers.shape[1])
    index.add(np.ascontiguousarray(centers))
    content: bytes = faiss.serialize_index(index).tobytes()
    return content
