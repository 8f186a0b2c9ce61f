"""One process at a time writes a folder, on whatever storage: a note in the folder says who, and is renewed while it does.

A note that a killed process left keeps nobody out: on the process's own machine it is seen that the process is gone, and from
elsewhere a note counts only when it is seen to be renewed. Whoever was taken for gone and is not finds the note of another in the
place of its own, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.this_process import lives, this_process
from pipelines.words import tell

NOTE = "at_work.json"
RENEWED, LOOKED = 15.0, 5.0  # seconds between two renewals, and between two looks whether there are some
SILENCE = 60.0  # seconds without a renewal after which a writer counts as gone
SETTLED, TORN = 1.0, 0.2  # seconds after which the last of several claims stands, and which a note may take to be whole
ENDING_SECONDS = 30.0  # that a renewal which is under way may take at the end

_mine: set[str] = set()  # turns of this process


class Turn:
    """A process's turn to write a folder.

    Attributes:
        lost: who has taken it over, in a sentence; empty while nobody has.
    """

    lost: str = ""


@contextmanager
def one_writer(folder: Location) -> Iterator[Turn]:
    """Within the block no other process that asks is let into the folder; one that is taken over from is interrupted by SIGTERM.

    Where nothing can be written nothing is noted: whoever writes there then will say so.

    Raises:
        UserError: when another process is at work there, or has gone on there while this one was out of reach.
    """
    turn = _Kept(folder)
    turn.begin()
    try:
        yield turn
    finally:
        turn.end()
        if turn.lost:
            raise UserError(turn.lost)


def refuse_at_work(folder: Location) -> None:
    """Refuse a folder that another process writes; the note of another machine is watched for a minute.

    Raises:
        UserError: when one does.
    """
    note = _read(folder)
    if note is None:
        return
    here = lives(note)
    if _is_renewed(folder, note) if here is None else here and _is_current(folder, note):
        raise UserError(f"{folder} is being written by {_who(note)}; wait until that has ended, end it, or take another folder")


class _Kept(Turn):
    """A turn that is noted in the folder and renewed."""

    def __init__(self, folder: Location) -> None:
        self._folder, self._place, self._id = folder, folder / NOTE, uuid.uuid4().hex
        self._note = {**this_process(), "since": time.strftime("%Y-%m-%d %H:%M:%S"), "turn": self._id, "folder": _real(folder)}
        self._interrupts = threading.current_thread() is threading.main_thread()
        self._made = self._noted = False
        self._renewed = time.time()
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._keep, name="turn", daemon=True)

    def begin(self) -> None:
        """Take the turn."""
        _mine.add(self._id)
        try:
            with suppress(OSError):
                self._claim()
                self._noted = True
                self._thread.start()
        finally:
            if not self._noted:
                _mine.discard(self._id)

    def end(self) -> None:
        """Give it back."""
        if not self._noted:
            return
        self._ended.set()
        self._thread.join(ENDING_SECONDS)
        _mine.discard(self._id)
        with suppress(OSError):
            if not self.lost and (_read(self._folder) or self._note)["turn"] == self._id:
                self._place.delete_file()
            if self._made:
                os.rmdir(self._folder.path)  # which stays where the work has left anything

    def _claim(self) -> None:
        """The first of several processes has the turn, or the last of them where a storage has no first."""
        if self._folder.is_local and self._create():
            return
        refuse_at_work(self._folder)
        self._write()
        time.sleep(SETTLED)
        other = _read(self._folder)
        if other is not None and other["turn"] != self._id:
            raise UserError(f"{self._folder} is being written by {_who(other)}, which came at the same time")

    def _create(self) -> bool:
        """Make the note on a disk; returns whether none was there."""
        self._made = not self._folder.exists()
        self._folder.make()
        path = Path(self._place.path)
        try:
            with path.open("xb", buffering=0) as file:
                try:
                    file.write(self._content())
                except OSError:
                    path.unlink()
                    raise
        except FileExistsError:
            return False
        return True

    def _write(self) -> None:
        self._place.write_bytes(self._content())
        self._renewed = time.time()

    def _content(self) -> bytes:
        return json.dumps(self._note | {"renewed": time.time()}, indent=1).encode()

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED):
            with suppress(OSError):  # of a storage that is away or full; it is asked again
                self._renew()
            if self.lost:
                return self._interrupt()

    def _renew(self) -> None:
        there = _read(self._folder)
        silent = time.time() - self._renewed > SILENCE
        if there is not None and there["turn"] != self._id:
            self.lost = f"{_who(there)} goes on with {self._folder}: this process was out of reach, and {self._end}"
        elif there is None and silent:  # another has gone on, and has ended
            self.lost = f"{self._folder} was gone on with while this process was out of reach; it {self._end}"
        else:
            self._write()

    @property
    def _end(self) -> str:
        """What the block does when the turn is lost."""
        return "ends without saving" if self._interrupts else "cannot be interrupted in this thread: end it, or both write"

    def _interrupt(self) -> None:
        """Interrupt the block, where it is in the one thread that can be, and this is handled."""
        if self._interrupts and callable(signal.getsignal(signal.SIGTERM)):
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            tell(self.lost)


def _read(folder: Location) -> dict[str, Any] | None:
    """The note in a folder; `None` where there is none, or it is damaged.

    Raises:
        OSError: when the storage refuses.
    """
    for _ in range(2):
        try:
            note = json.loads((folder / NOTE).read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            time.sleep(TORN)
            continue
        whole = isinstance(note, dict) and isinstance(note.get("turn"), str) and isinstance(note.get("renewed"), float)
        return note if whole else None
    return None


def is_seen_at_work(folder: Location) -> bool:
    """Whether a process of this machine is at work in a folder."""
    with suppress(OSError):  # of a folder that is not for this user
        note = _read(folder)
        return note is not None and lives(note) is True and _is_current(folder, note)
    return False


def _is_current(folder: Location, note: dict[str, Any]) -> bool:
    """Whether the note of a living process of this machine is of what it does now."""
    if note["pid"] == os.getpid():
        return note["turn"] in _mine
    # One that lives and is silent has left its note behind; in another place there is a copy.
    return bool(note.get("folder") == _real(folder) and time.time() - note["renewed"] < SILENCE)


def _is_renewed(folder: Location, note: dict[str, Any]) -> bool:
    who = _who(note)
    tell(f"{folder} was last written by {who}; looking for {SILENCE:g} s whether that still is at work")
    deadline = time.monotonic() + SILENCE
    while time.monotonic() < deadline:
        time.sleep(LOOKED)
        now = _read(folder)
        if now != note:
            return now is not None
    return False


def _who(note: dict[str, Any]) -> str:
    return f"process {note.get('pid')} on {note.get('host')} (since {note.get('since')})"


def _real(folder: Location) -> str:
    return os.path.realpath(folder.path) if folder.is_local else folder.path
