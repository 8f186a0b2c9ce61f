"""Training from Python: `pretrain`, `semisup`, and a run to look at."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorum.arguments import checked
from quorum.notebook import facts, picture
from quorum.settings import build_config, resumed_config, with_place

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from pipelines.config.training_config import PretrainConfig, SemisupConfig
    from pipelines.runs.run_folder import Run as RunFolder

RESUMABLE = (  # what a resumed run may change
    "compute.workers", "compute.min_workers", "compute.cpus_per_worker", "compute.threads", "compute.max_failures", "compute.gpu",
    "compute.grace", "checkpoint.", "monitor.log_steps", "monitor.knn_epochs", "monitor.knn_bank", "monitor.knn_queries",
    "monitor.knn_neighbours", "monitor.knn_temperature", "monitor.accuracy_epochs", "monitor.picture_epochs",
    "monitor.feature_epochs", "monitor.feature_images", "tracking.uri", "tracking.models", "tracking.system_seconds", "data",
)  # fmt: skip
SHEETS = ("clusters", "curves")  # pictures that a notebook shows


class Run:
    """A run of `pretrain` or `semisup`: what these return.

    Args:
        folder: the run's folder, opened; `quorum.open_run` takes its path.

    Raises:
        TypeError: for a path.
    """

    def __init__(self, folder: RunFolder) -> None:
        if isinstance(folder, str | PathLike):
            raise TypeError(f"a run is opened by quorum.open_run({str(folder)!r})")
        self.folder = folder

    @property
    def path(self) -> str:
        """Folder or URI: what `evaluate`, `embed`, `export` and `resume` take."""
        return str(self.folder.location)

    @property
    def tracking_uri(self) -> str:
        """Of the MLflow store that has the run."""
        return self.folder.address.uri

    @property
    def run_id(self) -> str:
        """Of the MLflow run."""
        return self.folder.address.run_id

    @property
    def page(self) -> str:
        """Link to its page in MLflow; of a store without a server, as `mlflow server` shows it on this machine."""
        from pipelines.tracking.about.page import run_page

        return run_page(self.folder.address)

    @property
    def figures(self) -> pd.DataFrame:
        """Every figure at the steps that it was recorded at: a row a step, a column a figure."""
        import pandas as pd

        rows: dict[int, dict[str, float]] = {}
        for entry in self.folder.history():
            if "values" in entry:
                rows.setdefault(int(entry["step"]), {}).update(entry["values"])
        return pd.DataFrame.from_dict(rows, orient="index").sort_index().rename_axis("step")

    @property
    def scores(self) -> pd.Series:
        """The last value of each figure."""
        figures = self.figures
        return figures.ffill().iloc[-1].dropna().sort_index() if len(figures) else figures.sum()

    @property
    def checkpoints(self) -> pd.DataFrame:
        """The finished checkpoints, oldest first; a file's place is `RUN/checkpoints/FILE`."""
        import pandas as pd

        return pd.DataFrame([vars(entry) for entry in self.folder.checkpoints.entries()])

    @property
    def choice(self) -> str:
        """Which checkpoint is `best`, and by which score on which split."""
        best = self.folder.checkpoints.best()
        if best is None or best.score is None:
            return "no checkpoint has a score; best is the newest"
        return f"best: {best.file}, by {best.scored_by or 'a score on test'} {best.score:.4f}"

    @property
    def pictures(self) -> list[Path]:
        """Pictures that the run drew on this machine, by name."""
        return sorted((self.folder.local_folder / "pictures").glob("*.png"))

    def backbone(self, checkpoint: str | None = None) -> nn.Module:
        """The trained network, images (B, 3, S, S) to features (B, F), in evaluation mode on the CPU.

        Args:
            checkpoint: file of one of `checkpoints`, or `best`; the newest where none is given.

        Raises:
            UserError: for a run without such a checkpoint.
        """
        from pipelines.runs.trained_model import Trained

        place = self.path if checkpoint is None else str(self.folder.location / "checkpoints" / checkpoint)
        return Trained.open(place).method().backbone

    def __repr__(self) -> str:
        return f"Run({self.path}, {self.folder.kind}, MLflow run {self.run_id})"

    def _repr_html_(self) -> str:
        newest = {name: path for name in SHEETS for path in self.pictures if path.name.startswith(f"{name}-")}
        shown = "".join(f"<div>{picture(path)}</div>" for path in newest.values())
        return facts(f"quorum {self.folder.kind}: {self.path}", {str(name): value for name, value in self.scores.items()}) + shown


@checked
def open_run(path: str | Path) -> Run:
    """The run in a folder.

    Raises:
        UserError: for a folder without one.
    """
    from pipelines.runs.run_folder import Run as RunFolder

    return Run(RunFolder.open(str(path)))


@checked
def pretrain(
    config: str | Path | PretrainConfig | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    to: str | Path | None = None,
    resume: str | Path | None = None,
    address: str | None = None,
    **keys: Any,
) -> Run:
    """Learn representations without labels.

    Args:
        config: a recipe by name (`recipes()` lists them) or path, or a configuration.
        settings: values by dotted keys on top of it, as `{"method.dim": 64}`.
        to: folder of the run; `storage` and `name` say the same in two parts.
        resume: folder of a run to go on with, instead of a configuration.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.
        **keys: keys of the recipe, as `data="data/digits"`, `epochs=5`, `method={"dim": 64}`, `workers=2`.

    Raises:
        UserError: for input that cannot work, or a run that had to stop.
        KeyboardInterrupt: when the user stops it; what was saved is whole.
    """
    from pipelines.config.training_config import PretrainConfig

    return _train(PretrainConfig, config, settings, to, resume, address, keys)


@checked
def semisup(
    config: str | Path | SemisupConfig | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    to: str | Path | None = None,
    resume: str | Path | None = None,
    address: str | None = None,
    **keys: Any,
) -> Run:
    """Learn a classifier from a few labels per class (ProtoCon).

    Args:
        config: a recipe by name (`recipes()` lists them) or path, or a configuration.
        settings: values by dotted keys on top of it, as `{"method.refine_weight": 0.9}`.
        to: folder of the run; `storage` and `name` say the same in two parts.
        resume: folder of a run to go on with, instead of a configuration.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.
        **keys: keys of the recipe, as `data="data/digits"`, `labels=chosen.path`, `init_from=run.path`.

    Raises:
        UserError: for input that cannot work, or a run that had to stop.
        KeyboardInterrupt: when the user stops it; what was saved is whole.
    """
    from pipelines.config.training_config import SemisupConfig

    return _train(SemisupConfig, config, settings, to, resume, address, keys)


def _train(
    kind: Any, config: Any, settings: Mapping[str, Any] | None, to: Any, resume: Any, address: str | None, keys: dict[str, Any]
) -> Run:
    if resume is None:
        made = build_config(kind, config, settings, with_place(to, keys))
    else:
        made = resumed_config(kind, resume, config, RESUMABLE, settings, with_place(to, keys))
    from pipelines.training.launch import train  # torch, Ray and MLflow, which a mistake need not wait for

    return Run(train(made, address=address, resume=None if resume is None else str(resume)))
