"""Whether a node can write a file where runs go, read it again, and remove it. Runs on the node."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from pipelines.doctor.findings import Finding, Page, fault, fine
from pipelines.doctor.refusals import of_storage
from pipelines.doctor.sizes import rate
from pipelines.errors import UserError
from pipelines.files.file_systems import asking_once
from pipelines.files.location import Location
from pipelines.files.storage_errors import PASSING

Result = TypeVar("Result")
SIZE = 4 << 20  # bytes of the file
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT",
)  # fmt: skip
ATTEMPTS, PAUSE = 6, 0.3  # of a request to a storage that is busy, and seconds between them
BUSY = tuple(word for word in PASSING if word not in ("NETWORK_CONNECTION", "REQUEST_TIMEOUT"))  # which is asked again
Failure = (OSError, pa.ArrowException)


@dataclass(frozen=True)
class Wish:
    """What is asked of a storage.

    Attributes:
        shown: its address, which each node opens itself, as workers do.
        beside: name of the file that this command wrote there before.
        made: folders that were not there before: the last of them, and those that it lies in.
        known: of `CREDENTIALS`, those that this command's environment has.
    """

    shown: str
    beside: str
    made: int
    known: tuple[str, ...]


def opened(place: str) -> Location:
    """A folder by its address, whose storage says at once what is wrong.

    Raises:
        UserError: for an address that no storage serves here.
    """
    location = Location.of(place)
    return Location(asking_once(location.filesystem), location.path, location.uri)


def known_credentials() -> tuple[str, ...]:
    """Names of credentials that are set here."""
    return tuple(name for name in CREDENTIALS if os.environ.get(name))


def hint(known: tuple[str, ...]) -> str:
    """What this node lacks of that, as an addition to a sentence."""
    lacking = [name for name in known if not os.environ.get(name)]
    return f", and the node has no {' and no '.join(lacking)}, which this command has" if lacking else ""


def busy_again(call: Callable[[], Result]) -> Result:
    """What `call` returns, asked again where the storage is busy for the moment."""
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except OSError as error:
            if attempt + 1 == ATTEMPTS or not any(word in str(error) for word in BUSY):
                raise
            time.sleep(PAUSE)
    raise AssertionError


def with_reason(folder: Location, call: Callable[[], Result]) -> Result:
    """What `call` returns; where a store refuses to say why, as S3 does of a HEAD, the listing of the folder tells."""
    try:
        return busy_again(call)
    except OSError as error:
        if "No response body" in str(error):
            folder.filesystem.get_file_info(pafs.FileSelector(folder.path, allow_not_found=True))
        raise


def write(place: Location, content: bytes) -> None:
    """Write a file; a local one as runs write theirs."""
    if place.is_local:
        place.write_bytes(content)
        return

    def upload() -> None:
        with place.filesystem.open_output_stream(place.path) as file:
            file.write(content)

    busy_again(upload)


def read(place: Location) -> bytes:
    """Read a file."""

    def content() -> bytes:
        with place.filesystem.open_input_file(place.path) as file:
            return bytes(file.read())

    return with_reason(place.parent, content)


def write_and_read(wish: Wish, name: str) -> list[Finding]:
    """Write a file of that name and read it; also one that this command wrote, which shows whether the folder is the same.

    The file stays, until `remove` is called.
    """
    check, lacks = "storage", hint(wish.known) if "://" in wish.shown else ""
    content = os.urandom(1 << 16) * (SIZE >> 16)
    try:
        folder = opened(wish.shown)
        mine = folder / name
        if wish.beside and with_reason(folder, lambda: mine.filesystem.get_file_info((folder / wish.beside).path)).size is None:
            said = f"{wish.shown} is not the folder that this command sees under that name"
            return [fault(check, said, "mount one folder on all nodes, or give a URI", Page.NOT_SHARED)]
    except (UserError, *Failure) as error:
        return [of_storage(check, f"{wish.shown} cannot be looked at", error, lacks)]
    start = time.perf_counter()
    try:
        write(mine, content)
    except Failure as error:
        return [of_storage(check, f"{wish.shown} cannot be written", error, lacks)]
    wrote = time.perf_counter()
    try:
        same = read(mine) == content
    except Failure as error:
        return [of_storage(check, f"{wish.shown} cannot be read", error, lacks)]
    if not same:
        return [fault(check, f"{wish.shown} gives back other bytes than were written", "look at that storage", Page.REACH)]
    speeds = f"write {rate(SIZE, wrote - start)}, read {rate(SIZE, time.perf_counter() - wrote)}"
    return [fine(check, speeds)]


def remove(wish: Wish, name: str) -> list[Finding]:
    """Remove that file."""
    try:
        place = opened(wish.shown) / name
        busy_again(lambda: place.filesystem.delete_file(place.path))
    except FileNotFoundError:
        return []
    except (UserError, *Failure) as error:
        return [of_storage("storage", f"{wish.shown}/{name} cannot be deleted", error, hint(wish.known))]
    return []
