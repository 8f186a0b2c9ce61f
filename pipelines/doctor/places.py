"""Storage and data as this process sees them, against which the nodes are compared; what they wrote is looked at and removed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import pyarrow as pa
import pyarrow.fs as pafs

from pipelines.doctor.findings import Finding, Page, fault
from pipelines.doctor.node_probe import Probe, answers, failed
from pipelines.doctor.on_node.data_files import Expected
from pipelines.doctor.on_node.storage import Wish, known_credentials, opened, remove, with_reason, write
from pipelines.doctor.refusals import of_storage
from pipelines.files.location import Location

PROBE = ".quorum-doctor"  # begins the names of files that are written


def open_storage(place: str) -> Wish:
    """Write a file there from this process, beside which the nodes write theirs."""
    location = opened(place)
    found = with_reason(location, lambda: location.filesystem.get_file_info(location.path))
    made = _missing(location) if location.is_local else int(found.type == pafs.FileType.NotFound)
    name = f"{PROBE}-{uuid.uuid4().hex[:12]}"
    if location.is_local:
        location.make()
    write(location / name, b"quorum doctor\n")
    return Wish(place, name, made, known_credentials())


def _missing(folder: Location) -> int:
    """How many folders are to be made on a disk."""
    return 0 if folder.exists() else 1 + _missing(folder.parent)


def open_data(place: str) -> Expected:
    """What the nodes should see there."""
    return Expected.of(place, known_credentials())


def refused(check: str, error: BaseException, seconds: float) -> Finding:
    """A storage or data that cannot be used, as a fault.

    Args:
        check: `storage` or `data`.
        error: that was met.
        seconds: that it had.
    """
    if isinstance(error, TimeoutError):
        said, remedy = f"the {check} does not answer within {seconds:.0f} s", "look at the route, firewall and proxy to it"
        return fault(check, said, remedy, Page.REACH)
    inner = error if isinstance(error, OSError | pa.ArrowException) else error.__cause__
    if isinstance(inner, OSError | pa.ArrowException):
        return of_storage(check, f"the {check} cannot be used", inner)
    return failed(check, error, seconds)


def name_of(wish: Wish, probe: Probe) -> str:
    """Of the file that a node writes."""
    return f"{wish.beside}-{probe.node.id[:12]}"


def compare_and_remove(wish: Wish, wrote: Sequence[Probe], deadline: float) -> list[Finding]:
    """Whether this process sees what nodes wrote; then each removes its own, and this process all that is left.

    Args:
        wish: of the storage.
        wrote: the nodes that could write.
        deadline: of the removal.
    """
    folder = opened(wish.shown)
    found = [
        fault("storage", f"what it writes to {wish.shown} is not seen by this command: each has a folder of its own",
              "mount one folder on all nodes, or give a URI", Page.NOT_SHARED).on(probe.node.name)
        for probe in wrote if not (folder / name_of(wish, probe)).size()
    ]  # fmt: skip
    asked = [probe.ask(partial(remove, wish, name_of(wish, probe))) for probe in wrote]
    for probe, told in zip(wrote, answers(asked, deadline), strict=True):
        results = [refused("storage", told, 0)] if isinstance(told, BaseException) else told
        found += [one.on(probe.node.name) for one in results]
    for probe in wrote:  # by name, as a storage may refuse to list what it holds
        remove(wish, name_of(wish, probe))
    clear(wish)
    return found


def clear(wish: Wish) -> None:
    """Remove what this process and the nodes wrote, and the folders that were not there before."""
    folder = opened(wish.shown)
    with suppress(OSError):  # of a storage that may not be listed
        for name in folder.children():
            if name.startswith(wish.beside):
                remove(wish, name)
    remove(wish, wish.beside)
    with suppress(OSError):
        for _ in range(wish.made):
            if folder.is_local:
                os.rmdir(folder.path)  # which stays where others have begun to use it
            elif not folder.children():
                folder.filesystem.delete_dir(folder.path)
            folder = folder.parent
