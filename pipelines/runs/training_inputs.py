"""The files that a training run reads, and the copies of them that lie in its folder.

Apart from the configuration, which is values only, and from `pipelines.config.training_plan`, which reads nothing: this needs
the data sets and the folders of runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from pipelines.config.published_names import is_published
from pipelines.config.training_config import SemisupConfig, TrainingConfig
from pipelines.config.training_plan import image_size
from pipelines.datasets.label_selection import Selection
from pipelines.files.location import Location
from pipelines.runs.run_folder import LABELS_FILE, RUN_FILE
from pipelines.stream.images.center_crops import EvaluationView
from pipelines.views.shown_picture import Showing

RESTORE_LABELS = "restore it: the run was begun with it, and others would make it another"
AnyConfig = TypeVar("AnyConfig", bound=TrainingConfig)


def open_selection(config: TrainingConfig) -> Selection | None:
    """The labelled instances, where the run has some.

    Raises:
        UserError: for a file that is missing or damaged.
    """
    if not isinstance(config, SemisupConfig):
        return None
    place = Location.of(config.labels)
    kept = place.name == LABELS_FILE and (place.parent / RUN_FILE).exists()
    return Selection.open(config.labels, config.data, RESTORE_LABELS if kept else "")


def absolute(config: AnyConfig, home: str = "") -> AnyConfig:
    """The same with places that hold from any folder: workers run in their own, and a resume may come from anywhere.

    Those of its inputs that are relative count from `home`, or from this folder.
    """
    start = config.init_from
    if start and not is_published(start):
        start = str(Location.of(start, home))
    config = replace(config, data=str(Location.of(config.data, home)), storage=str(Location.of(config.storage)), init_from=start)
    config = replace(config, tracking=config.tracking.absolute())
    return replace(config, labels=str(Location.of(config.labels, home))) if isinstance(config, SemisupConfig) else config


def adopt_labels(config: AnyConfig, selection: Selection | None, run: Location) -> AnyConfig:
    """Copy the selection into the run's folder: a resume and an evaluation need it, and the file may change.

    Returns:
        The configuration that names the copy.
    """
    if selection is not None:
        selection.save(str(run / LABELS_FILE))
    return found_in(config, run)


def found_in(config: AnyConfig, run: Location) -> AnyConfig:
    """The configuration as a run's folder has it, wherever that folder lies by now."""
    return replace(config, labels=str(run / LABELS_FILE)) if isinstance(config, SemisupConfig) else config


def evaluation_view(config: TrainingConfig) -> EvaluationView:
    """The one view that evaluation takes of an image."""
    stream = config.stream
    showing = Showing(tuple(stream.background), stream.pixels)
    return EvaluationView(image_size(config), stream.normalization.mean, stream.normalization.std, showing)
