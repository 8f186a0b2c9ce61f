"""Files of a run that have to be on this machine: the folder's own, or copies where it is remote."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.files.location import Location
from pipelines.tracking.journal import JOURNAL, MARK

PIECES = "journal"  # folder of a remote run
PIECE_BYTES = 256 << 10


def local_folder(folder: Location, home: str = "") -> Path:
    """Where a folder's local files are: the folder itself, or where it is remote one below `outputs` in `home`.

    That is named by the remote one's name and a digest of its place: others may have the name. `home` is the folder that the
    command was given in; here, where it is not told.
    """
    if folder.is_local:
        return Path(folder.path)
    place = hashlib.sha256(f"{folder.filesystem.type_name}:{folder.path}".encode()).hexdigest()
    return Path(home, "outputs").absolute() / f"{folder.name}-{place[:6]}"


def local_file(folder: Location, name: str) -> Path:
    """A file of a folder, copied here where the folder is remote."""
    place = local_folder(folder) / name
    if not folder.is_local:
        place.parent.mkdir(parents=True, exist_ok=True)
        Location.of(place).write_bytes((folder / name).read_bytes())
    return place


def fetch_journal(run: Location, folder: Path | None = None) -> None:
    """Copy the journal of a remote run here, unless all that the copy holds is here: the run may have gone on elsewhere.

    Where the two differ the copy wins: the run has gone on with it. What MLflow has of it is not known then, and is sent again,
    which counts once.
    """
    if run.is_local:
        return
    folder = folder or local_folder(run)
    places = _copies(run)
    here = folder / JOURNAL
    mine = here.read_bytes() if here.exists() else b""
    if sum(place.size() for place in places) == len(mine):
        return
    copy = b"".join(place.read_bytes() for place in places)
    if not mine.startswith(copy):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).unlink(missing_ok=True)
        Location.of(here).write_bytes(copy)


def stored_journal(run: Location) -> bytes:
    """What a run's folder has of its journal: all of it, or the copy of a remote run's; nothing is written here."""
    if run.is_local:
        path = Path(run.path) / JOURNAL
        return path.read_bytes() if path.exists() else b""
    return b"".join(place.read_bytes() for place in _copies(run))


def _copies(run: Location) -> list[Location]:
    """The files of a remote run's journal; version 0.1 had one."""
    pieces = (run / PIECES).children() or ([""] if (run / JOURNAL).exists() else [])
    return [run / PIECES / name if name else run / JOURNAL for name in pieces]


class JournalCopy:
    """The journal of a remote run on the run's storage, in pieces: the journal only grows, so that only the last one changes.

    Args:
        folder: local folder of the journal.
        run: the run's own; where that is local there is no copy.
    """

    def __init__(self, folder: Path, run: Location) -> None:
        self.journal, self.pieces = folder / JOURNAL, None if run.is_local else run / PIECES
        self._copied = 0  # bytes; another process may have copied more or less

    def update(self) -> None:
        """Copy what has come since the last time."""
        if self.pieces is None:
            return
        if not self._copied:
            self.pieces.make()
        size = self.journal.stat().st_size
        with self.journal.open("rb") as file:
            for piece in range(self._copied // PIECE_BYTES, -(-size // PIECE_BYTES)):
                file.seek(piece * PIECE_BYTES)
                content = file.read(min(PIECE_BYTES, size - piece * PIECE_BYTES))
                (self.pieces / f"{piece:06d}.jsonl").write_bytes(content)
                self._copied = piece * PIECE_BYTES + len(content)
