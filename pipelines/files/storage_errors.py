"""What a storage says when it refuses: asked again where that may help, and told in a sentence where it does not."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipelines.secrets import hidden

Result = TypeVar("Result")

PAUSES = (0.1, 0.3, 1.0, 3.0)  # seconds between attempts, beside those of the file system itself
# pyarrow 25 takes a "slow down" for a failure of its own where the answer is longer than the bytes that were asked for.
PASSING = (
    "SLOW_DOWN",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "flush response stream",
    "REQUEST_TIMEOUT",
)
ADVICE = (
    (("ExpiredToken", "ACCESS_DENIED", "HTTP status 403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "INVALID_ACCESS_KEY_ID"),
     "the keys may have expired, or lack the right to it: renew them, and go on from here"),
    (("No response body", "NO_SUCH_BUCKET", "NoSuchBucket", "RESOURCE_NOT_FOUND", "enable the allow_bucket_creation"),
     "look at the address"),
    (PASSING, "the storage is busy or out of reach: try again"),
)  # fmt: skip


def patiently(call: Callable[[], Result]) -> Result:
    """What `call` returns, asked again when a remote storage is busy for the moment."""
    for pause in PAUSES:
        try:
            return call()
        except OSError as error:
            if not _says(error, PASSING):
                raise
            time.sleep(pause * random.uniform(0.5, 1.5))
    return call()


def storage_sentence(error: OSError) -> str:
    """Which file or address, what was said of it, and what to do."""
    cause = error
    while not type(cause).__module__.startswith("builtins") and isinstance(getattr(cause, "cause", None), OSError):
        cause = cause.cause  # type: ignore[attr-defined]
    said = hidden(str(cause).split("\n", maxsplit=1)[0])
    if cause.errno == errno.ENOSPC:
        return f"{said}; free some room, and go on from here"
    advice = next((text for words, text in ADVICE if _says(cause, words)), "look at that place, and go on from here")
    return f"{said}; {advice}"


def is_of_storage(error: OSError) -> bool:
    """Whether the storage refused, so that the file itself may be whole."""
    return error.errno is not None or "AWS Error" in str(error) or _says(error, PASSING)


def _says(error: OSError, words: tuple[str, ...]) -> bool:
    return any(word in str(error) for word in words)
