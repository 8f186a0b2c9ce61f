"""What is made of a trained model: `evaluate`, `embed`, `export`, and embeddings to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quorum.data import DataSet
from quorum.notebook import facts
from quorum.training import Run

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.datasets.embedding_folder import EmbeddingFolder


class Embeddings:
    """Embeddings of a data set: what `embed` returns.

    Args:
        opened: the folder.
    """

    def __init__(self, opened: EmbeddingFolder) -> None:
        self.opened = opened

    @property
    def path(self) -> str:
        """Folder or URI: what `cluster` takes as its `data`."""
        return str(self.opened.location)

    @property
    def rows(self) -> int:
        """Number of embeddings."""
        return self.opened.rows

    @property
    def dim(self) -> int:
        """Numbers of each."""
        return self.opened.dim

    @property
    def table(self) -> pd.DataFrame:
        """Id, embedding, label and clusters of each row; read whole into memory."""
        import pandas as pd

        tables = [(self.opened.location / shard.path).read_parquet().to_pandas() for shard in self.opened.shards]
        frame: pd.DataFrame = pd.concat(tables, ignore_index=True)
        return frame

    def __repr__(self) -> str:
        return f"Embeddings({self.path}: {self.rows:,} rows of {self.dim} numbers)"

    def _repr_html_(self) -> str:
        values = {"rows": self.rows, "numbers of each": self.dim, "files": len(self.opened.shards)}
        return facts(f"embeddings: {self.path}", values)


def evaluate(
    run: str | Path | Run,
    *,
    data: str | Path | DataSet | None = None,
    split: str = "test",
    workers: int = 1,
    gpu: bool = False,
    untrained: bool = False,
    neighbours: int | Sequence[int] = 20,
    temperature: float = 0.07,
    address: str | None = None,
) -> pd.Series:
    """Score a run's features and clusters: kNN, linear probe, NMI, ARI, matching, its own classifier; also kept in MLflow.

    `attrs["classes"]` of the result is the place of a Parquet file with the accuracy of each class.

    Args:
        run: a run, its folder, or one of its checkpoint files.
        data: labelled images to score on; the run's own where none are given.
        split: of the data; what a choice was made on is no fair score.
        workers: processes that embed.
        gpu: one GPU a worker.
        untrained: score the same network with its initial weights, the baseline.
        neighbours: voters of a query in kNN; of several, as 20,1,5,200, the first is that of `knn_top1`.
        temperature: of their votes.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for a run or data that cannot be scored.
    """
    import pandas as pd

    from pipelines.evaluation.evaluate import evaluate as score

    scores = score(
        _place(run), shards=_optional(data), split=split, workers=workers, gpu=gpu, untrained=untrained,
        neighbours=neighbours, temperature=temperature, address=address,
    )  # fmt: skip
    series = pd.Series(scores, name=_place(run))
    series.attrs["classes"] = scores.table
    return series


def embed(
    run: str | Path | Run,
    to: str | Path,
    *,
    data: str | Path | DataSet | None = None,
    split: str = "train",
    workers: int = 1,
    gpu: bool = False,
    address: str | None = None,
) -> Embeddings:
    """Embed every image of a split with a run's backbone or published weights; writes Parquet: id, embedding, label, clusters.

    Published weights see images as timm shows them, of the size that they were trained on, and make no clusters.

    Args:
        run: a run, its folder, one of its checkpoint files, or weights that timm publishes, as timm/resnet50.a1_in1k.
        to: an empty or absent folder, local or a URI.
        data: images to embed; the run's own where none are given.
        split: of the data.
        workers: processes that embed.
        gpu: one GPU a worker.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for a folder in use, or a run, weights or data that cannot be read.
    """
    from pipelines.evaluation.write_embeddings import write_embeddings

    made = write_embeddings(
        _place(run), str(to), shards=_optional(data), split=split, workers=workers, gpu=gpu, address=address
    )  # fmt: skip
    return Embeddings(made)


def export(run: str | Path | Run, to: str | Path, *, classifier: bool = False) -> str:
    """Write a run's backbone as safetensors under the names of torchvision and timm; returns a line that says how to load it.

    Args:
        run: a run, its folder, or one of its checkpoint files.
        to: file to write, ending in .safetensors.
        classifier: of a semisup run, the averaged weights with their classifier.

    Raises:
        UserError: for another file name, or a run without what is asked for.
    """
    from pipelines.evaluation.export import export as write

    return write(_place(run), str(to), classifier=classifier)


def _place(given: str | Path | Run | DataSet) -> str:
    return given.path if isinstance(given, Run | DataSet) else str(given)


def _optional(given: str | Path | DataSet | None) -> str | None:
    return None if given is None else _place(given)
