"""Scores of a checkpoint on their way to its run: figures in MLflow, and the table of classes there and in the folder."""

from __future__ import annotations

import pyarrow as pa

from pipelines.errors import UserError
from pipelines.evaluation.class_tables import write_class_table
from pipelines.files.location import Location
from pipelines.files.storage_errors import said_of, storage_sentence
from pipelines.runs.trained_model import Trained
from pipelines.tracking import figures
from pipelines.tracking.about.data_input import DataInput
from pipelines.tracking.about.page import page_in_words
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.words import tell

FOLDER = "evaluation"


def check_writable(trained: Trained) -> None:
    """Refuse a run whose scores could not be kept, before anything is computed for them.

    Raises:
        UserError: naming the folder on this machine that cannot be written.
    """
    folder = trained.run.local_folder / FOLDER
    try:
        Location.of(folder).make_writable()
    except OSError as error:
        raise UserError(
            f"scores of {trained.run.location} are kept in {folder}, which cannot be written: {storage_sentence(error)}"
        ) from error


def record_scores(
    trained: Trained, scores: dict[str, float], table: pa.Table | None, prefix: str, name: str, data: DataInput
) -> str | None:
    """Write scores to a run's MLflow, and the table of classes there and to its folder; returns the table's place.

    Args:
        trained: the run.
        scores: by their names.
        table: of classes.
        prefix: in front of the names.
        name: of the table's files.
        data: that the scores are of.
    """
    local, place = trained.run.local_folder / FOLDER, None
    tracker = Tracker(local, trained.run.address)  # training may be writing its own journal
    try:
        tracker.input(data)
        named = {f"{prefix}/{name}": value for name, value in scores.items()}
        scored = None if prefix.startswith(figures.UNTRAINED) else trained.entry.file
        tracker.metrics(named, trained.entry.global_step, data=data, checkpoint=scored)
        if table is not None:
            for file in write_class_table(table, Location.of(local), name):
                tracker.artifact(local / file, FOLDER)
            place = _published(trained, table, name)
    finally:  # the figures go out, whatever becomes of the table
        tracker.close()
        for message in tracker.messages:
            tell(message)
    tell(f"scores are kept in {page_in_words(trained.run.address)}")
    return place


def _published(trained: Trained, table: pa.Table, name: str) -> str:
    """Write the table of classes to the run's folder too where it is remote; returns the place where it is."""
    folder = trained.run.location / FOLDER
    if not trained.run.location.is_local:
        try:
            write_class_table(table, folder, name)
        except OSError as error:  # of scores that are in MLflow, and in a table here
            tell(f"{folder} cannot be written ({said_of(error)}); the table of classes is on this machine only")
            folder = Location.of(trained.run.local_folder / FOLDER)
    return str(folder / f"{name}.parquet")
