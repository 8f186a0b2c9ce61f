"""A local file of JSON lines, and a mark of how far they have been delivered."""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.tracking.old_figures import by_present_names

JOURNAL, MARK = "journal.jsonl", "journal.sent"
HOLD_SECONDS, LOOK_SECONDS = 60.0, 0.05  # that a journal waits until its writer of before lets go, and between two looks
NUMBER, CALL = "n", "call"  # keys of a line beside the entry's own
CRC = b', "crc": '  # ends a line, with the CRC-32 of what is before it
NEEDED: dict[str, dict[str, type]] = {  # of each kind of entry; the other kinds are notes
    "metrics": {"values": dict, "step": int, "time": int},
    "system": {"readings": dict, "step": int, "time": int},
    "artifact": {"path": str, "folder": str},
    "tag": {"key": str, "value": str},
    "status": {"status": str, "time": int},
    "model": {"name": str, "path": str, "checkpoint": str, "step": int},
    "input": {"name": str, "digest": str, "rows": int, "columns": dict, "counts": dict},
}


class HeldError(UserError):
    """Another process writes the journal."""


@dataclass(frozen=True)
class Numbered:
    """An entry with its sequence number, which the mark counts by: 1, 2, ..., in the order that the entries came in."""

    number: int
    entry: dict[str, Any]


class Journal:
    """Entries in the order they came; those after the mark still have to be delivered.

    A process may die at any moment, and a disk may fill: what was not written whole is cut off again, and the mark is replaced,
    never rewritten. An entry that the disk refuses waits in memory, is delivered all the same, and is written when there is room.
    One process has it at a time, until it closes it or dies: two would give their entries the same numbers.

    Args:
        folder: where the files are; made if need be.

    Attributes:
        damaged: lines that are left out.

    Raises:
        HeldError: when another process has it for a minute.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.mark = folder / JOURNAL, folder / MARK
        self._file = self.path.open("ab", buffering=0)
        _hold(self._file.fileno(), self.path)
        whole = _cut_to_whole_lines(self.path)
        lines, self.damaged = _numbered(whole)
        marked = _number_in(self.mark)
        self.queue = [Numbered(number, _present(line)) for number, line in lines if number > marked]
        self._last = max([marked, *(number for number, _ in lines)])
        self._calls = {line[CALL] for _, line in lines if CALL in line}
        self._size, self._unwritten = len(whole), list[bytes]()

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """Entries that are not delivered, oldest first."""
        return [numbered.entry for numbered in self.queue]

    @property
    def unwritten(self) -> int:
        """Entries that are in memory only."""
        return len(self._unwritten)

    def knows(self, call: str) -> bool:
        """Whether an entry of a call of that name is here: a call that is sent again must not count twice."""
        return call in self._calls

    def append(self, entry: dict[str, Any], call: str | None = None) -> None:
        """Let an entry wait for delivery, and write it; one of a `call` that is known is dropped.

        Raises:
            OSError: when it cannot be written now; it waits in memory.
        """
        if call is not None and call in self._calls:
            return
        self._last += 1
        self.queue.append(Numbered(self._last, entry))
        line = {NUMBER: self._last} | ({CALL: call} if call else {}) | entry
        text = json.dumps(line).encode()[:-1]
        self._unwritten.append(b"%s%s%d}\n" % (text, CRC, zlib.crc32(text)))
        if call is not None:
            self._calls.add(call)
        self.write()

    def write(self) -> None:
        """Write what waits in memory.

        Raises:
            OSError: when not all of it could be written; the file ends with a whole line.
        """
        while self._unwritten:
            try:
                _write_all(self._file.fileno(), self._unwritten[0])
            except OSError:
                os.ftruncate(self._file.fileno(), self._size)
                raise
            self._size += len(self._unwritten.pop(0))

    def delivered(self, count: int) -> None:
        """Move the mark over the oldest `count` waiting entries.

        Raises:
            OSError: when the mark cannot be written; they are known as delivered in this process only.
        """
        done, self.queue = self.queue[:count], self.queue[count:]
        fresh = self.mark.with_suffix(".partial")
        fresh.write_text(str(done[-1].number))
        os.replace(fresh, self.mark)

    def history(self) -> list[dict[str, Any]]:
        """Every entry that is written, delivered or not."""
        return read_journal(self.path.parent)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Every whole entry of the journal in a folder, which another process may be writing; none where there is no journal.

    Figures that version 0.1 wrote come by their present names.
    """
    path = folder / JOURNAL
    return entries_of(path.read_bytes() if path.exists() else b"")


def entries_of(content: bytes) -> list[dict[str, Any]]:
    """The whole entries of a journal's content, by present names."""
    return [_present(line) for _, line in _numbered(content[: content.rfind(b"\n") + 1])[0]]


def damaged_lines(content: bytes) -> int:
    """How many whole lines of a journal's content are damaged or missing: what it said last may be among them."""
    return _numbered(content[: content.rfind(b"\n") + 1])[1]


def newest_status(entries: Iterable[dict[str, Any]]) -> str | None:
    """How a run is by the last of its entries that says so, as MLflow has it: `RUNNING`, `FINISHED`, ...; `None` without one."""
    told = [entry["status"] for entry in entries if entry.get("kind") == "status"]
    return told[-1] if told else None


def is_held(folder: Path) -> bool:
    """Whether a process has the journal of a folder open, on this machine or where the disk's locks are shared."""
    try:
        with (folder / JOURNAL).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it cannot be known
        return False
    return False


def _hold(file: int, path: Path) -> None:
    """Keep other processes from a journal; the kernel lets them in when this one has closed the file or is dead.

    Whoever looks whether it is held has the lock for a moment, and one that was killed until its threads are gone.
    """
    deadline = time.monotonic() + HOLD_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise HeldError(f"another process writes {path}; wait until it has ended, or end it") from None
            time.sleep(LOOK_SECONDS)
        except OSError:  # a file system without locks
            return None


def _numbered(content: bytes) -> tuple[list[tuple[int, dict[str, Any]]], int]:
    """Lines by number, each once, and how many are damaged; those of version 0.1 have no number, and are counted."""
    found, last, damaged = dict[int, dict[str, Any]](), 0, 0
    for text in content.split(b"\n")[:-1]:
        line = _entry(text)
        if line is None:
            damaged += 1
            continue
        last = line.get(NUMBER, last + 1)
        found.setdefault(last, line)
    return sorted(found.items()), max(damaged, last - len(found))


def _entry(text: bytes) -> dict[str, Any] | None:
    """What a line says; `None` for one that is damaged."""
    before, mark, crc = text.rpartition(CRC)
    try:
        line = json.loads(before + b"}" if mark else text)
        needed = NEEDED.get(line.get("kind"), {})
        whole = int(crc[:-1]) == zlib.crc32(before) if mark else NUMBER not in line and isinstance(line["kind"], str)
        return line if whole and all(isinstance(line[key], kind) for key, kind in needed.items()) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _present(line: dict[str, Any]) -> dict[str, Any]:
    entry = {key: value for key, value in line.items() if key not in (NUMBER, CALL)}
    return entry | {"values": by_present_names(entry["values"])} if entry.get("kind") == "metrics" else entry


def _number_in(mark: Path) -> int:
    """How far entries were delivered; 0 where the mark is absent or damaged: what is sent again counts once."""
    text = mark.read_bytes().strip() if mark.exists() else b""
    return int(text) if text.isdigit() else 0


def _cut_to_whole_lines(path: Path) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return whole


def _write_all(file: int, content: bytes) -> None:
    """Write all of it; a full disk may take a part and refuse the rest."""
    written = 0
    while written < len(content):
        written += os.write(file, content[written:])
