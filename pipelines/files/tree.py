"""Every file below a folder, listed once and in parallel; what cannot be followed is kept with its reason."""

from __future__ import annotations

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow.fs as pafs

from pipelines.files.location import Location
from pipelines.files.storage_errors import patiently
from pipelines.files.text import composed

READERS = 16  # threads, each with one of the folders that lie uppermost
BROKEN_LINK, LOOP, NO_FILE = "broken links", "links to a folder that they lie in", "no regular files"
EMPTY, TOO_OFTEN = "empty folders", "links to folders that were read many times"
MOST_WAYS = 16  # by which links may lead to one folder

Identity = tuple[int, int]


class Found(NamedTuple):
    """A file: its path below the folder, with slashes, and why it cannot be read (empty where it can)."""

    path: str
    fault: str = ""


def files_below(folder: Location) -> list[Found]:
    """The files of a folder and of those below it, folder by folder.

    Links are followed; one that leads back to a folder that it lies in is not.

    Raises:
        OSError: for a folder that is not there, or a storage that refuses.
    """
    list_folder = _local if folder.is_local else _remote
    files, folders = list_folder(folder, "")
    with ThreadPoolExecutor(READERS) as pool:
        below = list(pool.map(lambda name: _all_below(folder, name), folders))
    return sorted((found for part in (files, *below) for found in part), key=lambda found: found.path.split("/"))


def listed_at_once(folder: Location) -> list[Found]:
    """The files below a remote folder by one listing, which is for folders with few files each."""
    return patiently(lambda: _remote(folder, "", recursive=True)[0])


def _all_below(folder: Location, name: str) -> list[Found]:
    if not folder.is_local:
        return patiently(lambda: _remote(folder, name, recursive=True)[0])
    return list(_walk(folder.path, name))


def _walk(root: str, name: str) -> Iterator[Found]:
    """Files of a local folder and of those below it."""
    read: Counter[Identity] = Counter()  # how often each folder was, as the disk numbers them
    waiting: list[tuple[str, tuple[Identity, ...]]] = [(name, (_identity(root),))]
    while waiting:
        name, above = waiting.pop()
        try:
            mine = _identity(os.path.join(root, name))
            if mine in above or read[mine] >= MOST_WAYS:
                yield Found(name, LOOP if mine in above else TOO_OFTEN)
                continue
            files, folders = _entries(root, name)
        except OSError as error:
            yield Found(name, f"in folders that cannot be read ({error.strerror})")
            continue
        read[mine] += 1
        yield from files
        if not files and not folders:
            yield Found(name, EMPTY)
        waiting += [(inner, (*above, mine)) for inner in folders]


def _local(folder: Location, name: str) -> tuple[list[Found], list[str]]:
    return _entries(folder.path, name)


def _entries(root: str, name: str) -> tuple[list[Found], list[str]]:
    """The files and folders that lie in a folder itself, sorted."""
    files, folders = [], []
    with os.scandir(os.path.join(root, name)) as entries:
        for entry in entries:
            path = f"{name}/{entry.name}" if name else entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself, through a file, or with a name that is too long
                is_folder = is_file = False
            if is_folder:
                folders.append(path)
            elif is_file:
                files.append(Found(path))
            else:
                files.append(Found(path, BROKEN_LINK if entry.is_symlink() else NO_FILE))
    return sorted(files), sorted(folders)


def _identity(path: str) -> Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _remote(folder: Location, name: str, *, recursive: bool = False) -> tuple[list[Found], list[str]]:
    place = folder / name
    infos = folder.filesystem.get_file_info(pafs.FileSelector(place.path, recursive=recursive))
    start = len(folder.path.rstrip("/")) + 1
    files = [Found(info.path[start:]) for info in infos if info.type == pafs.FileType.File and not info.path.endswith("/")]
    return files, sorted(info.path[start:] for info in infos if info.type == pafs.FileType.Directory)


def as_spelled(place: Location) -> Location | None:
    """The file or folder that is there by the same letters, whose accents are written otherwise; `None` without a single one."""
    if place.path.isascii() or "://" in place.path:  # a web server has no folders to look into
        return None
    folder = place.parent if place.parent.is_dir() else as_spelled(place.parent)
    names = _by_letters(folder)[composed(place.name)] if folder is not None else []
    return folder / names[0] if folder is not None and len(names) == 1 else None


@functools.lru_cache(maxsize=16)  # a table names many files of a folder
def _by_letters(folder: Location) -> defaultdict[str, list[str]]:
    names = defaultdict[str, list[str]](list)
    for name in folder.children():
        names[composed(name)].append(name)
    return names
