"""Files of a run that have to be on this machine: the folder's own, or copies where it is remote."""

from __future__ import annotations

from pathlib import Path

from pipelines.files.location import Location
from pipelines.tracking.journal import JOURNAL


def local_folder(folder: Location, home: str = "") -> Path:
    """Where a folder's local files are: the folder itself, or one of its name below `outputs` in `home` where it is remote.

    `home` is the folder that the command was given in; here, where it is not told.
    """
    return Path(folder.path) if folder.is_local else Path(home, "outputs").absolute() / folder.name


def local_file(folder: Location, name: str) -> Path:
    """A file of a folder, copied here where the folder is remote."""
    place = local_folder(folder) / name
    if not folder.is_local:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((folder / name).read_bytes())
    return place


def fetch_journal(run: Location) -> None:
    """Copy the journal of a remote run here, unless one is here."""
    if not run.is_local and not (local_folder(run) / JOURNAL).exists() and (run / JOURNAL).exists():
        local_file(run, JOURNAL)


def copy_journal(folder: Path, run: Location) -> None:
    """Copy the journal in a local folder to a run that is remote."""
    if not run.is_local:
        (run / JOURNAL).write_bytes((folder / JOURNAL).read_bytes())
