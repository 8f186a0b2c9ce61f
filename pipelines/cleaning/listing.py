"""Every file below a storage folder, with size and time: asked for once, however many runs lie there."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
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
    """The files below a folder; links are none of them.

    Args:
        root: the folder.

    Raises:
        UserError: where there is no folder.
        OSError: for a storage that refuses.
    """

    def __init__(self, root: Location) -> None:
        if not root.is_folder:
            raise UserError(f"{root} is no folder; give the storage of runs, for example outputs")
        self.root = root
        self.files = sorted(_local(root.path) if root.is_local else _remote(root), key=lambda file: file.path)
        self._paths = [file.path for file in self.files]

    def below(self, folder: str) -> list[Stored]:
        """Files of a folder and of those below it; all for ``""``."""
        if not folder:
            return self.files
        return self.files[bisect_left(self._paths, f"{folder}/") : bisect_left(self._paths, f"{folder}0")]  # 0 follows the slash

    def children(self, folder: str) -> set[str]:
        """Names in a folder, of files and of folders that hold some."""
        start = len(folder) + 1 if folder else 0
        return {file.path[start:].partition("/")[0] for file in self.below(folder)}

    def folders_with(self, name: str) -> list[str]:
        """Folders that hold a file of that name."""
        return [os.path.dirname(file.path) for file in self.files if os.path.basename(file.path) == name]

    def place(self, path: str) -> Location:
        """Where a path below the folder is."""
        return self.root / path if path else self.root


def _local(root: str) -> Iterator[Stored]:
    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a run at work removes what it no longer needs
            raise error

    for folder, _, names in os.walk(root, onerror=refuse):
        for name in names:
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                status = os.lstat(path)
                if not os.path.islink(path):
                    yield Stored(os.path.relpath(path, root), status.st_size, status.st_mtime)


def _remote(root: Location) -> Iterator[Stored]:
    start = len(root.path.rstrip("/")) + 1
    for info in patiently(lambda: root.filesystem.get_file_info(pafs.FileSelector(root.path, recursive=True))):
        if info.type == pafs.FileType.File and not info.path.endswith("/"):
            yield Stored(info.path[start:], info.size or 0, (info.mtime_ns or 0) / 1e9)
