"""Whether the folder that a job's driver itself writes to has room and lets it. Runs where the command is, as drivers do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipelines.doctor.findings import Finding, Page, State, fine
from pipelines.doctor.on_node.machine import look_at_disk, nearest
from pipelines.doctor.refusals import of_storage
from pipelines.doctor.sizes import in_words
from pipelines.files.location import Location

HERE = "this process"  # in the place of a node
WORKING = "outputs"  # below the working folder: files of runs whose storage is remote
SIZE = 4 << 20  # bytes that are written


def look_at_own_folder(storage: str | None) -> list[Finding]:
    """Look at a local storage, or else at the folder below the working one that has the pictures and journals of remote runs.

    Args:
        storage: of runs; `None` where it is not known.
    """
    location = Location.of(storage) if storage else None
    if location is not None and location.is_local:
        return [_looked_at("own storage", location.path, "free some room, or give another --storage").on(HERE)]
    remedy = "free some room, or give the command in another folder"
    return [_looked_at("working folder", os.path.abspath(WORKING), remedy).on(HERE)]


def _looked_at(check: str, folder: str, remedy: str) -> Finding:
    place = nearest(folder)
    try:
        found = look_at_disk(check, folder, remedy)
        if found.page is Page.DISK and found.state is State.FAULT:
            return found
        _write(place)
    except OSError as error:
        return of_storage(check, f"{folder}, where this command writes, cannot be written", error)
    return found if found.state is not State.FINE else fine(check, f"{found.said}, {in_words(SIZE)} written")


def _write(place: Path) -> None:
    """Write a file without a name, which goes as it is closed.

    Raises:
        OSError: that this met.
    """
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(os.urandom(1 << 16) * (SIZE >> 16))
        file.flush()
        os.fsync(file.fileno())
