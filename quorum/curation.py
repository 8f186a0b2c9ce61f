"""What is done with finished clusters: `curate`, `dedup`, `centers`, and their results to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quorum.arguments import checked, place_of
from quorum.clustering import Clustering
from quorum.notebook import facts, frame_of, picture
from quorum.scoring import Embeddings

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.curation.balanced_sample import BalancedSample
    from pipelines.curation.duplicates.find import Duplicates


class Curated:
    """A balanced sample: what `curate` returns.

    Args:
        sample: as it was written.
    """

    def __init__(self, sample: BalancedSample) -> None:
        self.sample = sample

    @property
    def path(self) -> str:
        """The Parquet file: id, cluster, similarity."""
        return str(self.sample.location)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.sample.taken.sum())

    @property
    def table(self) -> pd.DataFrame:
        """Id, cluster and similarity of each row, by cluster and in the order of choice; read whole into memory."""
        return frame_of(self.sample.location)

    @property
    def counts(self) -> pd.DataFrame:
        """Rows of each cluster, and how many of them the sample has."""
        import pandas as pd

        return pd.DataFrame({"rows": self.sample.sizes, "sample": self.sample.taken}).rename_axis("cluster")

    def __repr__(self) -> str:
        return f"Curated({self.path}: {self.rows:,} rows of {len(self.sample.sizes):,} clusters)"

    def _repr_html_(self) -> str:
        return facts(repr(self), {"clusters with fewer rows": self.sample.short}) + self.counts.describe().to_html()


class Deduplicated:
    """Near-duplicates: what `dedup` returns.

    Args:
        found: as they were written.
    """

    def __init__(self, found: Duplicates) -> None:
        self.found = found

    @property
    def path(self) -> str:
        """Folder or URI."""
        return str(self.found.location)

    @property
    def report(self) -> dict[str, Any]:
        """Figures of the whole, as in `report.json`."""
        return self.found.report

    @property
    def kept(self) -> pd.DataFrame:
        """Id, cluster and greatest similarity to an earlier row of each row that is kept; read whole into memory."""
        return self._table("kept.parquet")

    @property
    def removed(self) -> pd.DataFrame:
        """Id of each near-duplicate, the earlier row it is nearest to, their similarity, its cluster, the size of its group."""
        return self._table("removed.parquet")

    def _table(self, name: str) -> pd.DataFrame:
        return frame_of(self.found.location / name)

    def __repr__(self) -> str:
        return f"Deduplicated({self.path}: {self.report['kept']:,} of {self.report['rows']:,} rows kept)"

    def _repr_html_(self) -> str:
        pairs = Path(self.path) / "pairs.png"
        return facts(repr(self), self.report) + (picture(pairs) if pairs.exists() else "")


@checked
def curate(
    run: str | Path | Clustering,
    to: str | Path,
    *,
    per_cluster: int | None = None,
    total: int | None = None,
    pick: Literal["random", "nearest", "farthest"] = "random",
    seed: int = 0,
    head: int = 0,
    overwrite: bool = False,
) -> Curated:
    """Write a balanced sample of a finished clustering: as many rows of each cluster, as far as it has them.

    Args:
        run: a clustering or its folder.
        to: a file that ends in .parquet, or a folder for sample.parquet, local or a URI.
        per_cluster: rows of each cluster; all of one that has fewer.
        total: rows in all, shared equally; what small clusters lack the others give.
        pick: which rows of a cluster: at random, or those nearest to its center or farthest from it.
        seed: of the draws; the same gives the same sample.
        head: whose clusters.
        overwrite: replace the file.

    Raises:
        UserError: for a clustering that is not finished, more rows than there are, or a file that is there.
    """
    from pipelines.curation.balanced_sample import write_sample

    return Curated(
        write_sample(
            place_of(run), str(to), per_cluster=per_cluster, total=total, pick=pick, seed=seed, head=head, overwrite=overwrite
        )
    )


@checked
def dedup(
    run: str | Path | Clustering | Embeddings,
    to: str | Path,
    *,
    threshold: float = 0.95,
    keep: Literal["farthest", "nearest", "first"] | None = None,
    keep_by: str | None = None,
    ascending: bool = False,
    neighbours: int | None = None,
    head: int = 0,
    data: str | Path | Embeddings | None = None,
    column: str | None = None,
    id: str | None = None,
    all_pairs: bool = False,
    overwrite: bool = False,
    address: str | None = None,
) -> Deduplicated:
    """Find near-duplicates within clusters, or among all rows of a small table, and say which rows to keep.

    A row is removed if it has a cosine of the threshold or more with a row that comes before it; equal ones come in the order of
    the data.

    Args:
        run: a clustering or its folder, or embeddings: a Parquet file or a folder of them.
        to: an empty or absent folder for kept.parquet and removed.parquet, local or a URI.
        threshold: cosine from which on two rows are near-duplicates.
        keep: which rows of a cluster come first: those farthest from its center, as SemDeDup has it, nearest to it, or first in
            the data; default farthest, of embeddings first.
        keep_by: column of the embeddings' files instead, whose greatest value comes first.
        ascending: its least value comes first.
        neighbours: next nearest clusters in which a row is compared too, because a border cuts pairs; default 1.
        head: whose clusters.
        data: the clustering's embeddings, if they have moved.
        column: of the vectors, of embeddings; default embedding.
        id: column of the ids, likewise; default id where there is one, else a row's number is its id.
        all_pairs: compare all rows of embeddings with each other, however many they are.
        overwrite: replace an earlier result.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for options that do not go together, rows that cannot be read or are too many, or a folder in use.
    """
    from pipelines.curation.duplicates.find import find_duplicates

    return Deduplicated(
        find_duplicates(
            place_of(run), str(to), threshold=threshold, keep=keep, keep_by=keep_by, ascending=ascending, neighbours=neighbours,
            head=head, data=None if data is None else place_of(data), column=column, id_column=id, all_pairs=all_pairs,
            overwrite=overwrite, address=address,
        )
    )  # fmt: skip


@checked
def centers(
    run: str | Path | Clustering,
    to: str | Path,
    *,
    head: int = 0,
    prices: bool = False,
    metric: Literal["cosine", "euclidean"] | None = None,
    overwrite: bool = False,
) -> str:
    """Write the centers of a clustering for NumPy, faiss or Parquet; returns a line that says what they are.

    Args:
        run: a clustering or its folder, or a file of centers.
        to: file to write, ending in .npy, .faiss (a coarse quantizer, which needs faiss) or .parquet.
        head: whose centers.
        prices: give each center one number more, by which the nearest center is the label.
        metric: of a file of centers: cosine, the default, or euclidean; a clustering knows its own.
        overwrite: replace the file.

    Raises:
        UserError: for another file name, another metric, a file that is there, or faiss that is not installed.
    """
    from pipelines.curation.center_files import write_centers

    made = write_centers(place_of(run), str(to), head=head, prices=prices, metric=metric, overwrite=overwrite)
    asked = "inner product with unit rows" if made.metric == "cosine" else "Euclidean distance"
    line = f"{made.location}: {made.clusters:,} centers of {made.dim} numbers, to be asked by {asked}"
    if prices:
        return f"{line}, a {1 if made.metric == 'cosine' else 0} behind each row"
    return (
        f"{line}; clusters have prices, so the nearest center is not always the label: --prices adds them"
        if made.priced
        else line
    )
