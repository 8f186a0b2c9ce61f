"""Every file below a storage folder, with size and time: asked for once, however many runs lie there."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from bisect import bisect_left
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pyarrow.fs as pafs

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import patiently


@dataclass(frozen=True)
class Stored:
    """A file: its path below the folder, with slashes, its bytes, and when it changed, in seconds since 1970."""

    path: str
    bytes: int
    changed: float


class Listing:
    """The files below a folder; links are none of them, and nothing behind one is looked at.

    Args:
        root: the folder.

    Attributes:
        files: in the order of their paths.
        links: paths of links, below the folder.
        unread: folders that this user may not read, and why: what lies in them is not known.

    Raises:
        UserError: where there is no folder.
        OSError: for a storage that refuses.
    """

    def __init__(self, root: Location) -> None:
        if not root.is_dir():
            raise UserError(f"{root} is no folder; give the storage of runs, for example outputs")
        self.root, self.links, self.unread, self._folders = root, list[str](), dict[str, str](), list[str]()
        self.files = sorted(self._local(root.path) if root.is_local else _remote(root), key=lambda file: file.path)
        self._paths = [file.path for file in self.files]

    def below(self, folder: str) -> list[Stored]:
        """Files of a folder and of those below it; all for ``""``."""
        if not folder:
            return self.files
        return self.files[bisect_left(self._paths, f"{folder}/") : bisect_left(self._paths, f"{folder}0")]  # 0 follows the slash

    def times(self, folder: str) -> dict[str, float]:
        """When each file below a folder changed, by its path from there."""
        start = len(folder) + 1 if folder else 0
        return {file.path[start:]: file.changed for file in self.below(folder)}

    def others(self, folder: str, known: re.Pattern[str]) -> list[str]:
        """What lies below a folder and is not known by its path from there; a link and an unread folder never are."""
        start = len(folder) + 1 if folder else 0
        odd = [path[start:] or "." for path in (*self.links, *self.unread) if within(path, {folder})]
        return sorted([*odd, *(path for path in self.times(folder) if not known.fullmatch(path))])

    def children(self, folder: str) -> set[str]:
        """Names in a folder, of files and of folders that hold some."""
        start = len(folder) + 1 if folder else 0
        return {file.path[start:].partition("/")[0] for file in self.below(folder)}

    def folders_with(self, name: str) -> list[str]:
        """Folders that hold a file of that name, or whatever is in its place, in the order of their paths."""
        found = (path for path in (*self._paths, *self.links, *self._folders) if os.path.basename(path) == name)
        return sorted(os.path.dirname(path) for path in found)

    def place(self, path: str) -> Location:
        """Where a path below the folder is."""
        return self.root / path

    def _local(self, root: str) -> Iterator[Stored]:
        def refuse(error: OSError) -> None:
            if error.filename == root:
                raise error
            if not isinstance(error, FileNotFoundError):  # a run at work removes what it no longer needs
                self.unread[os.path.relpath(error.filename, root)] = error.strerror or str(error)

        for folder, inner, names in os.walk(root, onerror=refuse):
            below = "" if folder == root else os.path.relpath(folder, root)
            for name in (*names, *inner):
                path = os.path.join(folder, name)
                try:
                    status = os.lstat(path)
                except OSError as error:
                    refuse(error)
                    continue
                if stat.S_ISLNK(status.st_mode):
                    self.links.append(os.path.join(below, name))
                elif stat.S_ISDIR(status.st_mode):
                    self._folders.append(os.path.join(below, name))
                else:
                    yield Stored(os.path.join(below, name), status.st_size, status.st_mtime)


def stored(place: Location, path: str) -> Stored | None:
    """A file as it is now, under a path of the listing; `None` where there is none."""
    if place.is_local:
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.lstat(place.path)
            return Stored(path, status.st_size, status.st_mtime)
        return None
    info = patiently(lambda: place.filesystem.get_file_info(place.path))
    return Stored(path, info.size or 0, (info.mtime_ns or 0) / 1e9) if info.type == pafs.FileType.File else None


def within(path: str, folders: Collection[str]) -> bool:
    """Whether a path lies in one of the folders, or is one; of many folders give a set."""
    while path not in folders:
        if not path:
            return False
        path = posixpath.dirname(path)
    return True


def _remote(root: Location) -> Iterator[Stored]:
    start = len(root.path.rstrip("/")) + 1
    for info in patiently(lambda: root.filesystem.get_file_info(pafs.FileSelector(root.path, recursive=True))):
        if info.type == pafs.FileType.File and not info.path.endswith("/"):
            yield Stored(info.path[start:], info.size or 0, (info.mtime_ns or 0) / 1e9)
