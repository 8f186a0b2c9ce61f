"""Files that a clustering or an assignment is made of: no result is written among them, or in their place."""

from __future__ import annotations

from pipelines.curation.assign import LABELS
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import is_parquet


def refuse_own(target: Location, folder: Location, free: str = "", rows: str | None = None) -> None:
    """Refuse a place for a new file that a clustering or an assignment needs for itself.

    Args:
        target: the file.
        folder: of the clustering or the assignment; or a file of centers.
        free: name of a Parquet file in the folder that may be replaced.
        rows: where the rows are that it is of.

    Raises:
        UserError: for one of its files, or a place among its labels or its rows.
    """
    if rows is not None and _would_be_read(target, rows):
        raise UserError(f"--to {target} lies in {rows}, whose files are all read as rows; choose another place")
    is_one = target.lies_in(folder) and (folder.is_file() or (target.name.endswith(".parquet") and target.is_file()))
    if target.lies_in(folder / LABELS) or (is_one and target.name != free):
        raise UserError(f"--to {target} is a place of what {folder} itself is made of; choose another, beside it")


def _would_be_read(target: Location, rows: str) -> bool:
    """Whether a file would be one of those that rows are read from; asked of local ones alone, for storages may be gone."""
    return is_parquet(target.name) and target.is_local and "://" not in rows and target.lies_in(Location.of(rows))
