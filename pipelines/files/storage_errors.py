"""What a storage says when it refuses: asked again where that may help, and told in a sentence where it does not."""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pipelines.errors import UserError
from pipelines.secrets import hidden

Result = TypeVar("Result")

DEADLINE = 30.0  # seconds after which nothing is asked again
PAUSES = (0.1, 0.3, 1.0, 3.0, 6.0)  # seconds between attempts, beside those of the file system itself
UNREACHED = "cannot be reached"  # as file systems of fsspec are said to be
# What pyarrow itself does not ask again: it knows a "slow down" of a HEAD by its number only, and takes one that is longer than
# the bytes that were asked for to be a failure of its own.
PASSING = (
    UNREACHED,
    "SLOW_DOWN",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "flush response stream",
    "REQUEST_TIMEOUT",
    *(f"HTTP status {number}" for number in (429, 500, 502, 503, 504)),
)
ADVICE = (  # what was said, and what to do
    (("ExpiredToken", "ACCESS_DENIED", "HTTP status 401", "HTTP status 403", "InvalidAccessKeyId", "SignatureDoesNotMatch",
      "INVALID_ACCESS_KEY_ID"),
     "the keys may have expired, or lack the right to it: renew them, and go on from here"),
    (PASSING, "the storage is busy or out of reach: try again"),
    (("No response body", "NO_SUCH_BUCKET", "NoSuchBucket", "RESOURCE_NOT_FOUND", "enable the allow_bucket_creation"),
     "look at the address"),
)  # fmt: skip
ROOM, RIGHT = "free some room, and go on from here", "give yourself the right to it, or choose another place"
ADVICE_OF = {  # what to do about what a disk refuses
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "files may not be as large as that (ulimit -f): raise the limit, and go on from here",
    errno.EROFS: "mount it for writing, or choose another place",
    errno.EACCES: RIGHT,
    errno.EPERM: RIGHT,
    errno.EMFILE: "raise the limit of open files (ulimit -n), and give the command again",
}
INNER = re.compile(r"\. Detail: \[errno \d+\]")  # between what pyarrow could not do and what the system says of it


def patiently(call: Callable[[], Result]) -> Result:
    """What `call` returns, asked again when a remote storage is busy for the moment."""
    deadline = time.monotonic() + DEADLINE
    for pause in PAUSES:
        try:
            return call()
        except OSError as error:
            if not _says(error, PASSING) or time.monotonic() > deadline:
                raise
            time.sleep(pause * random.uniform(0.5, 1.5))
    return call()


def storage_sentence(error: OSError) -> str:
    """Which file or address, what was said of it, and what to do."""
    cause = error
    while isinstance(inner := getattr(cause, "cause", None), OSError):  # as Ray hands it on
        cause = inner
    advice = next((text for words, text in ADVICE if _says(cause, words)), "look at that place, and go on from here")
    return f"{said_of(cause)}; {ADVICE_OF.get(cause.errno or 0, advice)}"


def said_of(error: OSError) -> str:
    """Which file, and what was said of it, in a line without numbers of the system's."""
    said = INNER.sub(":", str(error.strerror or error).split("\n", maxsplit=1)[0])
    return hidden(f"{error.filename}: {said}" if error.filename and error.strerror else said)


def refusal_in(error: BaseException) -> str | None:
    """What a storage refused, in a sentence, where that is what an error of a task or a worker comes from; else `None`."""
    lines = [line.strip() for line in hidden(str(error)).splitlines() if "AWS Error" in line]
    for line in reversed(lines):
        words, advice = next((one for one in ADVICE if any(word in line for word in one[0])), (PASSING, ""))
        if words is not PASSING:
            return f"{line.partition('Error: ')[2] or line}; {advice}"
    return None


def is_of_storage(error: OSError) -> bool:
    """Whether the storage refused, so that the file itself may be whole."""
    return error.errno is not None or "AWS Error" in str(error) or _says(error, PASSING)


def is_of_remote(error: BaseException) -> bool:
    """Whether a remote storage refused, whatever file it was about; one that is not there is not that."""
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
        return False
    return _says(error, ("AWS Error", "HTTP status", *PASSING))


@contextmanager
def of_one_file() -> Iterator[None]:
    """Say of one file, of many that are looked at, what a disk refuses; a storage that is away would refuse them all.

    Raises:
        UserError: in words.
        OSError: what a remote storage refuses.
    """
    try:
        yield
    except OSError as error:
        if is_of_remote(error):
            raise
        raise UserError(said_of(error)) from error


def as_damage(error: Exception, said: str) -> Exception:
    """What to raise where a file could not be read: what its storage refused, or else that it is damaged, in one sentence.

    Args:
        error: that reading met.
        said: which file is damaged how, before the error's own words.
    """
    return error if is_of_remote(error) else UserError(f"{said} ({error}); fetch it again")


def _says(error: OSError, words: tuple[str, ...]) -> bool:
    return any(word in str(error) for word in words)
