"""The split that scores are taken of while training, by which checkpoints and settings are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.datasets.image_shards import Dataset

SCORED = ("val", "test")  # in the order in which they are looked for


def scored_split(dataset: Dataset, chosen: str | None = None) -> str | None:
    """The chosen split, else `val` where there is one, else `test`; only with labels.

    Returns:
        Its name; `None` where there is none with labels.

    Raises:
        UserError: when there is no split of the chosen name.
    """
    labelled = [name for name in SCORED if name in dataset.splits and dataset.split(name).labelled]
    name = chosen or next(iter(labelled), None)
    return name if name and dataset.split(name).labelled else None
