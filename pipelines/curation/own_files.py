"""Files that a clustering or an assignment is made of: no result is written among them, or in their place."""

from __future__ import annotations

from pipelines.clustering.levels.parent_files import PARENTS
from pipelines.clustering.result_files import CENTERS, SIZES
from pipelines.clustering.warm_start import START
from pipelines.curation.assign import LABELS
from pipelines.errors import UserError
from pipelines.files.location import Location

OWN = (CENTERS, SIZES, PARENTS, START)


def refuse_own(target: Location, folder: Location) -> None:
    """Refuse a place for a new file that a clustering or an assignment needs for itself.

    Args:
        target: the file.
        folder: of the clustering or the assignment.

    Raises:
        UserError: for one of its files, or a place among its labels.
    """
    if target.lies_in(folder / LABELS) or any(target.lies_in(folder / name) for name in OWN):
        raise UserError(f"--to {target} is a place of what {folder} itself is made of; choose another, beside that folder")
