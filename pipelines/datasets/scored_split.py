"""The split that scores are taken of while training, by which checkpoints and settings are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.datasets.image_shards import Dataset

SCORED = ("val", "test")  # in the order in which they are looked for


def scored_split(dataset: Dataset, chosen: str | None = None, *, trained: str = "train") -> str | None:
    """The chosen split, else `val` where there is one, else `test`; only with labels, and never the one that is `trained` on.

    Returns:
        Its name; `None` where there is none with labels.

    Raises:
        UserError: when the chosen split is not there, has no labels, or is the one that is trained on.
    """
    if chosen is None:
        others = [name for name in SCORED if name in dataset.splits and name != trained]
        return next((name for name in others if dataset.split(name).labelled), None)
    if chosen == trained:
        raise UserError(f"monitor.split is {chosen!r}, which is trained on; choose another split, or none")
    if not dataset.split(chosen).labelled:
        raise UserError(f"monitor.split is {chosen!r}, which has no labels to score against; choose another split, or none")
    return chosen


def observed_split(dataset: Dataset, chosen: str | None = None, *, trained: str = "train") -> str:
    """The split that figures without labels are of: the scored one, else `val` or `test` without labels, else the trained one.

    Raises:
        UserError: as `scored_split`.
    """
    others = (name for name in SCORED if name in dataset.splits and name != trained)
    return scored_split(dataset, chosen, trained=trained) or next(others, trained)
