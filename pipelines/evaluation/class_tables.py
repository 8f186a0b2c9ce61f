"""How good the classes are that something guesses for a split: figures of the whole, and a table with a row for each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.csv
from torch import Tensor

from algos.class_scores import MOST, ClassTable, Guesses, calibration_error, macro_accuracy, top_k_accuracy
from algos.scores import accuracy
from pipelines.files.location import Location
from pipelines.tracking import figures

TELLING = (
    figures.ACCURACY_EMA,
    figures.ACCURACY,
    "finetune",
    "probe",
    "linear",
    "knn",
)  # whose table is shown, the first there is


def class_figures(by: str, guesses: Guesses, labels: Tensor, num_classes: int, *, calibrated: bool = True) -> dict[str, float]:
    """Scores of the guesses that something makes, by their plain names.

    Args:
        by: what guesses, as figures name it: `knn`, `linear`, or a method's classifier.
        guesses: of M rows.
        labels: their classes (M,).
        num_classes: C; of up to five, the first five would always hold the right one.
        calibrated: whether the shares are probabilities, and not votes.
    """
    first = guesses.first
    found = {"top1": accuracy(first, labels), "macro": macro_accuracy(first, labels)}
    if num_classes > MOST:
        found["top5"] = top_k_accuracy(guesses.classes, labels, MOST)
    if calibrated:
        found["ece"] = calibration_error(guesses.shares[:, 0], first == labels)
    return figures.of_guesses(by, found)


def class_table(guessed: Mapping[str, Guesses], labels: Tensor, classes: list[str]) -> pa.Table:
    """Rows, accuracy and most frequent confusion of each class, for everything that guesses.

    Args:
        guessed: guesses of M rows by what makes them.
        labels: their classes (M,).
        classes: names.
    """
    parts = []
    names = np.array([*classes, None], object)  # -1 is no class
    for by, guesses in guessed.items():
        table = ClassTable.of(guesses.first, labels, len(classes))
        columns = {
            "by": [by] * len(classes), "class": classes, "rows": table.rows,
            "accuracy": pa.array(table.accuracy, mask=np.isnan(table.accuracy)),
            "confused_with": pa.array(names[table.confused_with], pa.string()), "confused_rows": table.confused_rows,
        }  # fmt: skip
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def write_class_table(table: pa.Table, folder: Location, name: str) -> list[str]:
    """Write a table as Parquet and as CSV; returns the names of the two files."""
    folder.make()
    (folder / f"{name}.parquet").write_parquet(table)
    text = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, text)
    (folder / f"{name}.csv").write_bytes(text.getvalue().to_pybytes())
    return [f"{name}.parquet", f"{name}.csv"]
