"""Checkpoints of a run: whole files, an index that lists only finished ones, and how many to keep.

A file is written under another name and moved; the index is rewritten after that. So whatever process dies at whatever
moment, the index names only checkpoints that can be loaded.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import re
import uuid
import zlib
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from typing import IO, Any, cast

import torch
import torch.distributed as dist

from algos.distributed.collectives import is_distributed
from pipelines.errors import UserError
from pipelines.files.documents import damage_in_words, read_document, write_document
from pipelines.files.location import PARTIAL, Location
from pipelines.files.storage_errors import patiently, storage_sentence

CHECKPOINT_FORMAT = 1
INDEX = "index.json"
PART_BYTES = 4 << 20
RESTORE = "restore it, or resume with the version that wrote it"
ASIDE = re.compile(r"step-\d+-0\.pt")  # a checkpoint that another run may take over; the names of listed ones count from 1
MOST_ASIDE = 2  # one that is handed on now, and the one before, which may still be on its way


@dataclass(frozen=True)
class Entry:
    """One checkpoint: its file, its place in the run (next epoch and step), its score (higher is better) and its size.

    `scored_by`: name of the figure that the score is; `None` without a score, and in runs of version 0.1. `crc`: CRC-32 of the
    file, which version 0.1 did not keep; the file's own are not looked at by those who read it.
    """

    file: str
    epoch: int
    step: int
    global_step: int
    score: float | None
    bytes: int
    scored_by: str | None = None
    crc: int | None = None


class CheckpointStore:
    """The checkpoints below one folder.

    Args:
        location: the folder; local or any `pyarrow.fs` file system.
        keep_last: newest ones to keep; the one of the best score is kept besides.
    """

    def __init__(self, location: Location, keep_last: int = 2) -> None:
        self.location, self.keep_last = location, keep_last

    def entries(self) -> list[Entry]:
        """Finished checkpoints, oldest first.

        Raises:
            UserError: for an index of another format.
        """
        if not (self.location / INDEX).exists():
            if unlisted := [name for name in self.location.children() if name.endswith(".pt")]:
                raise UserError(f"{self.location / INDEX} is missing, though {len(unlisted)} checkpoints are there: restore it")
            return []
        content = read_document(self.location / INDEX, CHECKPOINT_FORMAT, RESTORE)
        with damage_in_words(self.location / INDEX, RESTORE):
            return [Entry(**entry) for entry in content["checkpoints"]]

    def latest(self) -> Entry | None:
        """The newest checkpoint."""
        entries = self.entries()
        return entries[-1] if entries else None

    def best(self) -> Entry | None:
        """The checkpoint of the highest score; the newest where none has one."""
        return _best(self.entries()) or self.latest()

    def save(
        self, state: dict[str, Any], *, epoch: int, step: int, global_step: int, score: float | None = None,
        scored_by: str | None = None,
    ) -> Entry:  # fmt: skip
        """Write a checkpoint whole, list it, then drop the ones too many; attributes as of `Entry`.

        Raises:
            UserError: when the storage refuses, for example a full disk; what was saved before stays.
        """
        listed = self.entries()
        name = _free_name(f"step-{global_step:09d}", [entry.file for entry in listed])
        try:
            if not (self.location.make() / INDEX).exists():  # a checkpoint without an index is one whose index was lost
                self._write_index([])
            with (self.location / name).written() as file:
                checked = _Checked(file)
                torch.save(state | {"format": CHECKPOINT_FORMAT}, cast("IO[bytes]", checked))
            decided = None if score is None else scored_by
            entry = Entry(name, epoch, step, global_step, score, checked.size, decided, checked.crc)
            self._list([*(old for old in listed if old.global_step != global_step), entry], instead_of=listed)
        except (OSError, RuntimeError) as error:  # torch says in words of its own that it could not write
            refused = error if isinstance(error, OSError) else error.__context__
            said = storage_sentence(refused) if isinstance(refused, OSError) else str(error)
            raise UserError(
                f"checkpoint {self.location / name} could not be written ({said}); mend the storage and go on with --resume"
            ) from error
        return entry

    def _list(self, entries: list[Entry], instead_of: list[Entry]) -> None:
        entries = sorted(entries, key=lambda entry: entry.global_step)
        best = _best(entries)
        kept = [entry for entry in entries if entry in entries[-self.keep_last :] or entry is best]
        self._write_index(kept)
        with suppress(OSError):  # the new one is safe; an old file too many is no reason to stop
            self.location.delete_cut_off()
            for entry in {*instead_of, *entries} - {*kept}:
                (self.location / entry.file).delete_file()

    def _write_index(self, entries: list[Entry]) -> None:
        write_document(self.location / INDEX, {"checkpoints": [asdict(entry) for entry in entries]}, CHECKPOINT_FORMAT)

    def keep_only(self, files: Collection[str]) -> None:
        """Drop the listed checkpoints that are not among `files`; nobody else may be writing here."""
        listed = self.entries()
        kept = [entry for entry in listed if entry.file in files]
        self._write_index(kept)
        for entry in listed:
            if entry not in kept:
                (self.location / entry.file).delete_file()

    def take_over(self, other: CheckpointStore, entry: Entry) -> None:
        """Make a checkpoint of another run the only one here, so that this run goes on from there."""
        self.go_on_from(self.fetch(other, entry))

    def fetch(self, other: CheckpointStore, entry: Entry) -> Entry:
        """Copy a checkpoint of another run here, without listing it; returns what `go_on_from` is given.

        Raises:
            UserError: when the other's file is missing or damaged, or cannot be written here.
        """
        source, mine = other.location / entry.file, self.entries()
        taken = replace(entry, file=_free_name(f"step-{entry.global_step:09d}", [old.file for old in mine]))
        try:
            content = source.read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"checkpoint {source} is gone, so that {self.location.parent} cannot go on from it") from error
        if len(content) != entry.bytes or (entry.crc is not None and zlib.crc32(content) != entry.crc):
            raise UserError(f"checkpoint {source} is damaged, so that {self.location.parent} cannot go on from it; restore it")
        try:
            if not mine:
                self.location.make()
                self._write_index([])
            (self.location / taken.file).write_bytes(content)
        except OSError as error:
            raise _unwritten(self.location / taken.file, error) from error
        return taken

    def go_on_from(self, taken: Entry) -> None:
        """Make a checkpoint that was fetched the only one; once more, it changes nothing."""
        self._list([taken], instead_of=self.entries())

    def set_aside(self, entry: Entry) -> Entry:
        """Keep a listed checkpoint for another run until `MOST_ASIDE` later ones were set aside, whatever becomes of the list.

        Returns:
            The same under the name that it is kept by. On a local disk it takes no room while it is listed too.

        Raises:
            UserError: when it cannot be written.
        """
        kept = replace(entry, file=f"step-{entry.global_step:09d}-0.pt")
        try:
            _copy(self.location, entry.file, kept.file)
        except OSError as error:
            raise _unwritten(self.location / kept.file, error) from error
        self.drop_aside(MOST_ASIDE)
        return kept

    def drop_aside(self, keep: int = 0) -> None:
        """Drop what was set aside but the `keep` newest."""
        with suppress(OSError):  # a file too many is no reason to stop
            kept = [name for name in self.location.children() if ASIDE.fullmatch(name)]
            for name in kept[: len(kept) - keep]:
                (self.location / name).delete_file()

    def load(self, entry: Entry, *, mapped: bool = False) -> dict[str, Any]:
        """State of one checkpoint, tensors on the host.

        Args:
            entry: of the checkpoint.
            mapped: whether tensors are read from the file, or a copy of it on this machine's disk, when they are used: for one
                who copies them at once, before another checkpoint is saved, and has no memory for all of them twice.

        Raises:
            UserError: for a file that is missing, cut short or of another format.
        """
        place = self.location / entry.file
        if place.size() != entry.bytes:
            raise UserError(
                f"checkpoint {place} has {place.size()} bytes, its index says {entry.bytes}; it is missing or damaged: restore it"
            )
        with place.on_disk() if mapped else nullcontext(io.BytesIO(place.read_bytes())) as source:
            if entry.crc is not None and _crc_of(source) != entry.crc:
                raise UserError(f"checkpoint {place} is damaged: its CRC is not the one in its index; restore it")
            try:
                state = torch.load(source, map_location="cpu", mmap=mapped, weights_only=True)
            except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
                reason = str(error).split("\n", maxsplit=1)[0]
                raise UserError(
                    f"checkpoint {place} cannot be read ({reason}); it is damaged or none of ours: restore it"
                ) from error
        if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
            raise UserError(f"checkpoint {place} is not of format {CHECKPOINT_FORMAT}, which this version reads; restore it")
        return state


def _unwritten(place: Location, error: OSError) -> UserError:
    return UserError(f"checkpoint {place} could not be written ({storage_sentence(error)}); mend the storage")


def _copy(folder: Location, name: str, to: str) -> None:
    """Copy a file within a folder, whole or not at all; on a local disk both names have the same bytes."""
    if not folder.is_local:
        patiently(lambda: folder.filesystem.copy_file((folder / name).path, (folder / to).path))
        return
    fresh = f"{(folder / to).path}.{uuid.uuid4().hex}{PARTIAL}"
    try:
        os.link((folder / name).path, fresh)
    except OSError:  # a disk without links
        (folder / to).write_bytes((folder / name).read_bytes())
        return
    os.replace(fresh, (folder / to).path)
    with suppress(FileNotFoundError):  # two names of one file are not moved over each other
        os.unlink(fresh)


class _Checked(io.RawIOBase):
    """A stream that counts what goes through it, and keeps its CRC-32."""

    def __init__(self, file: Any) -> None:
        self._file, self.size, self.crc = file, 0, 0

    def write(self, content: Any, /) -> int:
        """Write the next bytes."""
        self._file.write(content)
        size = memoryview(content).nbytes
        self.size, self.crc = self.size + size, zlib.crc32(content, self.crc)
        return size


def _crc_of(source: str | io.BytesIO) -> int:
    """CRC-32 of a file or of bytes, a part after another."""
    crc = 0
    with open(source, "rb") if isinstance(source, str) else nullcontext(source) as file:
        while part := file.read(PART_BYTES):
            crc = zlib.crc32(part, crc)
        file.seek(0)
    return crc


def _free_name(stem: str, listed: list[str]) -> str:
    """A file that no checkpoint has which is listed: that must stay whole until the index names another."""
    return next(name for number in itertools.count() if (name := f"{stem}{f'-{number}' if number else ''}.pt") not in listed)


def _best(entries: list[Entry]) -> Entry | None:
    """The one of the highest score, by the figure that the newest score is: a resumed run may have changed what decides."""
    scored = [entry for entry in entries if entry.score is not None]
    comparable = [entry for entry in scored if entry.scored_by == scored[-1].scored_by]
    return max(comparable, key=lambda entry: entry.score or 0.0, default=None)


def save_together(write: Callable[[], object], rank: int) -> None:
    """Let rank 0 write; all workers call it together, so that none goes on after a failure.

    Raises:
        UserError: on every worker, the one that `write` raised.
    """
    problem: list[str | None] = [None]
    if rank == 0:
        try:
            write()
        except UserError as error:
            problem = [str(error)]
    if is_distributed():
        dist.broadcast_object_list(problem, src=0)
    if problem[0] is not None:
        raise UserError(problem[0])
