"""Finished clusters at work on rows: `assign`, `join_labels`, `quality`, and their results to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quorum.arguments import checked, place_of
from quorum.clustering import Clustering, read_labels
from quorum.notebook import facts, frame_of, picture
from quorum.scoring import Embeddings

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.curation.assign import Assigned
    from pipelines.curation.join_labels import Joined
    from pipelines.curation.quality import Measured


class Assignment:
    """Labels of rows under finished clusters: what `assign` returns.

    Args:
        made: as they were written.
    """

    def __init__(self, made: Assigned) -> None:
        self.made = made

    @property
    def path(self) -> str:
        """Folder or URI: what `join_labels` takes."""
        return str(self.made.location)

    @property
    def report(self) -> dict[str, Any]:
        """Figures of the whole and of each head, as in `assigned.json`."""
        return self.made.report

    @property
    def labels(self) -> pd.DataFrame:
        """Cluster and similarity of each row by id, for each head; read whole into memory."""
        return read_labels(self.made.location)

    @property
    def sizes(self) -> pd.DataFrame:
        """Rows and mean similarity of each cluster, beside those of the run's own rows."""
        return frame_of(self.made.location / "sizes.parquet")

    def __repr__(self) -> str:
        return f"Assignment({self.path}: {self.report['rows']:,} rows)"

    def _repr_html_(self) -> str:
        import pandas as pd

        whole = {key: value for key, value in self.report.items() if key != "heads"}
        heads: str = pd.DataFrame(self.report["heads"]).set_index("head").to_html()
        return facts(f"quorum assign: {self.path}", whole) + heads


class JoinedLabels:
    """Copies of somebody's Parquet files with their rows' clusters: what `join_labels` returns.

    Args:
        made: as they were written.
    """

    def __init__(self, made: Joined) -> None:
        self.made = made

    @property
    def path(self) -> str:
        """Folder or URI."""
        return str(self.made.location)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.made.rows

    @property
    def files(self) -> int:
        """Number of files."""
        return self.made.files

    @property
    def columns(self) -> list[str]:
        """Names of the columns that were added."""
        return self.made.columns

    def __repr__(self) -> str:
        return f"JoinedLabels({self.path}: {self.rows:,} rows with {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        return facts(f"quorum join: {self.path}", {"rows": self.rows, "files": self.files, "columns": ", ".join(self.columns)})


class Quality:
    """How good the clusters of a run are: what `quality` returns. In a notebook it shows its figures and pictures.

    Args:
        made: as it was written.
    """

    def __init__(self, made: Measured) -> None:
        self.made = made

    @property
    def path(self) -> str:
        """Folder or URI."""
        return str(self.made.location)

    @property
    def report(self) -> dict[str, Any]:
        """Figures of the whole and of each head, with the closest pairs of centers, as in `quality.json`."""
        return self.made.report

    @property
    def clusters(self) -> pd.DataFrame:
        """Rows, mean similarity, nearest other center and silhouette of each cluster, as in `quality.parquet`."""
        return frame_of(self.made.location / "quality.parquet")

    @property
    def pictures(self) -> dict[str, Path]:
        """Pictures that were drawn on this machine, by name."""
        return {path.stem: path for path in self.made.pictures}

    def __repr__(self) -> str:
        return f"Quality({self.path})"

    def _repr_html_(self) -> str:
        import pandas as pd

        plain = [{key: value for key, value in head.items() if not isinstance(value, list)} for head in self.report["heads"]]
        shown = "".join(picture(path) for path in self.pictures.values())
        table: str = pd.DataFrame(plain).set_index("head").T.to_html()
        return facts(f"quorum quality: {self.path}", {"rows": self.report["rows"]}) + table + shown


@checked
def assign(
    clusters: str | Path | Clustering,
    data: str | Path | Embeddings,
    to: str | Path,
    *,
    column: str | None = None,
    id: str | None = None,
    head: int | None = None,
    prices: bool = True,
    metric: Literal["cosine", "euclidean"] | None = None,
    gpu: bool = False,
    address: str | None = None,
) -> Assignment:
    """Label rows, of any number, under finished clusters: what a new row belongs to, and how well.

    Args:
        clusters: a clustering, its folder, or a file of centers: .npy, or .parquet with a column center.
        data: a Parquet file or a folder of them, with vectors as long as the centers.
        to: an empty or absent folder, local or a URI; one where the same was killed is gone on with.
        column: of the vectors; default the clustering's, of a file of centers embedding.
        id: column of the ids; default the clustering's where the rows have it, else id, else a row's number is its id.
        head: whose labels; default those of all heads.
        prices: give each row the cluster of the greatest similarity plus price, as the clustering did; else its nearest center.
        metric: of a file of centers: cosine, the default, or euclidean; a clustering knows its own.
        gpu: one GPU a task.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for clusters that are not finished or of another metric, rows of another length, or a folder in use.
    """
    from pipelines.curation.assign import assign as write

    return Assignment(
        write(
            place_of(clusters), place_of(data), str(to), column=column, id_column=id, head=head, prices=prices, metric=metric,
            gpu=gpu, address=address,
        )
    )  # fmt: skip


@checked
def join_labels(
    run: str | Path | Clustering | Assignment,
    to: str | Path,
    *,
    data: str | Path | Embeddings | None = None,
    head: int | None = None,
    prefix: str = "",
    address: str | None = None,
) -> JoinedLabels:
    """Write labels beside the rows that they are of: copies of the Parquet files with the columns cluster and similarity.

    Args:
        run: a clustering or an assignment, or its folder.
        to: an empty or absent folder, local or a URI; one where the same was killed is gone on with.
        data: the rows, if they have moved.
        head: whose labels; default those of all heads, whose columns then are cluster_head0 and so on.
        prefix: before the names of the new columns, if the files have such already.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for other rows than were labelled, a column that is there already, or a folder in use.
    """
    from pipelines.curation.join_labels import join_labels as write

    moved = None if data is None else place_of(data)
    return JoinedLabels(write(place_of(run), str(to), data=moved, head=head, prefix=prefix, address=address))


@checked
def quality(
    run: str | Path | Clustering,
    *,
    sample: int = 10_000,
    seed: int = 0,
    data: str | Path | Embeddings | None = None,
) -> Quality:
    """Say how good a run's clusters are: sizes, similarity, silhouette, nearest clusters, pictures; also kept in MLflow.

    Args:
        run: a clustering or its folder, which gets a folder quality.
        sample: rows for the silhouette, whose time grows with their square; 0 for none.
        seed: of the sample.
        data: the clustering's embeddings, if they have moved.

    Raises:
        UserError: for a clustering that is not finished, or data of other rows.
    """
    from pipelines.curation.quality import measure

    return Quality(measure(place_of(run), sample=sample, seed=seed, data=None if data is None else place_of(data)))
