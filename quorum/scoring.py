"""What is made of a trained model: `evaluate`, `probe`, `embed`, `export`, and results to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorum.arguments import checked, place_of
from quorum.data import DataSet
from quorum.notebook import facts, frame_of
from quorum.settings import build_config, resumed_config
from quorum.training import Run

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.config.training_config import ProbeConfig
    from pipelines.datasets.embedding_folder import EmbeddingFolder
    from pipelines.probing.launch import Probed


PROBE_RESUMABLE = (  # what a resumed probe may change
    "compute.workers", "compute.cpus_per_worker", "compute.gpu", "compute.max_failures", "compute.grace",
)  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """A classifier that was trained on a run's backbone: what `probe` returns.

    Attributes:
        probed: its run and scores.
    """

    probed: Probed

    @property
    def path(self) -> str:
        """Folder or URI of its own run: what `resume` takes."""
        return str(self.probed.run.location)

    @property
    def scores(self) -> pd.Series:
        """Scores on the val and test splits by name; val chose among learning rates, the others are reported."""
        import pandas as pd

        return pd.Series(self.probed.scores, name=self.path)

    @property
    def lr(self) -> float:
        """Learning rate of the classifier that is reported."""
        return self.probed.rate

    @property
    def classes(self) -> pd.DataFrame:
        """Rows, accuracy and most frequent confusion of each class of the last split."""
        return frame_of(str(self.probed.table))

    def __repr__(self) -> str:
        return f"Probe({self.path})"

    def _repr_html_(self) -> str:
        values = {"learning rate": self.lr, **{str(name): value for name, value in self.scores.items()}}
        return facts(f"quorum probe: {self.path}", values) + self.classes.to_html()


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
        return frame_of(*(self.opened.location / shard.path for shard in self.opened.shards))

    def __repr__(self) -> str:
        return f"Embeddings({self.path}: {self.rows:,} rows of {self.dim} numbers)"

    def _repr_html_(self) -> str:
        values = {"rows": self.rows, "numbers of each": self.dim, "files": len(self.opened.shards)}
        return facts(f"embeddings: {self.path}", values)


@checked
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

    Figures that need no labels (RankMe, alignment, uniformity and others) are of the first `monitor.feature_images` of the split.
    `attrs["classes"]` of the result is the place of a Parquet file with the accuracy of each class.

    Args:
        run: a run, its folder, or one of its checkpoint files.
        data: images to score on, without labels for the figures that need none; the run's own where none are given.
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
        place_of(run), shards=_optional(data), split=split, workers=workers, gpu=gpu, untrained=untrained,
        neighbours=neighbours, temperature=temperature, address=address,
    )  # fmt: skip
    series = pd.Series(scores, name=place_of(run))
    series.attrs["classes"] = scores.table
    return series


@checked
def probe(
    config: str | Path | ProbeConfig | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    address: str | None = None,
    **keys: Any,
) -> Probe:
    """Train a linear probe, or fine-tune the network, on augmented images as the papers do, and score it; also kept in MLflow.

    Args:
        config: a file of these keys, or a configuration.
        settings: values by dotted keys on top of it.
        resume: folder of a probe to go on with, instead of a run.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.
        **keys: as `run=run` - a run, its folder or one of its checkpoint files -, `finetune=True`, `fraction=0.01`,
            `labels=chosen.path`, `epochs=20`, `workers=2`.

    Raises:
        UserError: for input that cannot work, or a probe that had to stop.
        KeyboardInterrupt: when the user stops it; what was saved is whole.
    """
    from pipelines.config.training_config import ProbeConfig

    if resume is None:
        made = build_config(ProbeConfig, config, settings, keys)
    else:
        made = resumed_config(ProbeConfig, resume, config, PROBE_RESUMABLE, settings, keys)
    from pipelines.probing.launch import probe as train  # torch, Ray and MLflow, which a mistake need not wait for

    return Probe(train(made, address=address, resume=None if resume is None else str(resume)))


@checked
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
        to: an empty or absent folder, local or a URI, or one in which the same was begun and not finished: it is begun anew.
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
        place_of(run), str(to), shards=_optional(data), split=split, workers=workers, gpu=gpu, address=address
    )  # fmt: skip
    return Embeddings(made)


@checked
def export(
    run: str | Path | Run,
    to: str | Path,
    *,
    classifier: bool = False,
    register: str | None = None,
    alias: str | None = None,
    overwrite: bool = False,
) -> str:
    """Write a run's backbone as safetensors under the names of torchvision and timm, or log its model in MLflow.

    The model takes encoded images and gives embeddings, clusters and, of a semisup run, class probabilities. Returns a line that
    says how to load what was made.

    Args:
        run: a run, its folder, or one of its checkpoint files.
        to: file to write, ending in .safetensors, or mlflow for a model of the run in MLflow.
        classifier: of a semisup run, the averaged weights with their classifier.
        register: name in MLflow's registry of which the model becomes a version.
        alias: of that version, as champion.
        overwrite: replace the file.

    Raises:
        UserError: for another file name, a file that is there, or a run without what is asked for.
    """
    from pipelines.evaluation.export import export as write

    return write(place_of(run), str(to), classifier=classifier, register=register, alias=alias, overwrite=overwrite)


def _optional(given: str | Path | DataSet | None) -> str | None:
    return None if given is None else place_of(given)
