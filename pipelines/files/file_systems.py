"""The file system behind a URI; that of an object store asks again when it is told to slow down or cut off."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import fsspec
import pyarrow as pa
import pyarrow.fs as pafs

from pipelines.files.storage_errors import UNREACHED, patiently

ATTEMPTS = 4  # of a request that gets no answer; what is answered with "slow down" is asked again by `patiently`
DELAYED = "allow_delayed_open"  # by which newer versions of pyarrow write a small object in one request
CONNECT_SECONDS, REQUEST_SECONDS = 10.0, 60.0  # the library's own 1 and 3 are shorter than a loaded store's answer
HASTY_SECONDS = 5.0  # where it is only asked whether a store answers
GONE = (404, 410)  # what HTTP says of a file that is not there
LEGAL = "%/:?&=@!$'()*+,;~"  # stays as it is in an address for pyarrow, which cuts it at # and refuses blanks and umlauts
STRAY_PERCENT, MEANING = re.compile("%(?![0-9A-Fa-f]{2})"), re.compile("[%#?]")
OF_THE_WEB = ("aiohttp", "httpx", "httpx2", "requests", "urllib3")  # whose errors are of the way to a file


class PatientS3(pafs.S3FileSystem):
    """S3 with longer waits than pyarrow's own, that asks again when it is told to slow down, in whatever process it comes to.

    Args:
        options: of `pyarrow.fs.S3FileSystem`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        waits = {"connect_timeout": CONNECT_SECONDS, "request_timeout": REQUEST_SECONDS}
        super().__init__(**waits | _given(options), retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS))

    def __reduce__(self) -> tuple[Any, ...]:
        return _patient, (self._options,)


def _patient(options: dict[str, Any]) -> PatientS3:
    return PatientS3(**options)


class HastyS3(pafs.S3FileSystem):
    """S3 that asks once, and does not wait long.

    Args:
        options: of `pyarrow.fs.S3FileSystem`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        waits = {"connect_timeout": HASTY_SECONDS, "request_timeout": HASTY_SECONDS}
        super().__init__(**_given(options) | waits, retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1))

    def __reduce__(self) -> tuple[Any, ...]:
        return _hasty, (self._options,)


def _hasty(options: dict[str, Any]) -> HastyS3:
    return HastyS3(**options)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Options that say something."""
    given = {key: value for key, value in options.items() if value not in (None, "", -1.0)}
    if not given.get("proxy_options", {}).get("host"):
        given.pop("proxy_options", None)
    return given


def _asked_again(name: str) -> Callable[..., Any]:
    method = getattr(pafs.S3FileSystem, name)

    @functools.wraps(method)
    def call(self: PatientS3, *arguments: Any, **options: Any) -> Any:
        return patiently(lambda: method(self, *arguments, **options))

    return call


for _name in ("get_file_info", "create_dir", "delete_file", "delete_dir"):  # reads are asked again as a whole
    setattr(PatientS3, _name, _asked_again(_name))


class Telling(pafs.FSSpecHandler):
    """A file system of fsspec for pyarrow, that tells a file which cannot be reached from one that is not there.

    pyarrow's own takes whatever goes wrong for a file that is not there.
    """

    def open_input_stream(self, path: str) -> pa.PythonFile:
        """The file, read once from its start."""
        return self._opened(path)

    def open_input_file(self, path: str) -> pa.PythonFile:
        """The file, read anywhere."""
        return self._opened(path)

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        """What lies at each path."""
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> pafs.FileInfo:
        try:
            return self._create_file_info(path, self.fs.info(path))
        except Exception as error:
            told = _told(path, error)
            if isinstance(told, FileNotFoundError):
                return pafs.FileInfo(path, pafs.FileType.NotFound)
            raise told from error

    def _opened(self, path: str) -> pa.PythonFile:
        try:
            if self.fs.info(path)["type"] != "file":
                raise FileNotFoundError(path)
            return pa.PythonFile(_TellingFile(path, self.fs.open(path, "rb")), mode="r")
        except Exception as error:  # each of them has its own
            raise _told(path, error) from error


class _TellingFile:
    """An open file of fsspec, whose reads say what they meet as its opening does."""

    def __init__(self, path: str, file: Any) -> None:
        self._path, self._file = path, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, count: int = -1) -> bytes:
        """Some bytes, or all that are left."""
        try:
            return bytes(self._file.read(count))
        except Exception as error:
            raise _told(self._path, error) from error


def _told(path: str, error: Exception) -> Exception:
    """What a file system of fsspec meets, as pyarrow's own say it: no such file, no such address, a refusal, or no answer."""
    cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
    status = getattr(cause, "status", None) or getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(status, int):
        return FileNotFoundError(path) if status in GONE else OSError(f"{path}: HTTP status {status}")
    if isinstance(cause, ConnectionError | TimeoutError) or type(cause).__module__.partition(".")[0] in OF_THE_WEB:
        return OSError(f"{path} {UNREACHED} ({str(cause) or type(cause).__name__})")
    return OSError(f"{path}: {str(error).rstrip('. ')}") if isinstance(error, ValueError) else error


def file_system(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI, and the path in it.

    Raises:
        OSError, pyarrow.ArrowException: when none serves it.
    """
    try:
        filesystem, path = pafs.FileSystem.from_uri(quote(STRAY_PERCENT.sub("%25", uri), safe=LEGAL))
    except pa.ArrowInvalid as error:
        if "filesystem type" not in str(error) or uri.partition("://")[0] not in fsspec.available_protocols():
            raise
        return _by_fsspec(uri)
    if isinstance(filesystem, pafs.S3FileSystem):
        _, (options,) = filesystem.__reduce__()
        small = {DELAYED: True} if DELAYED in options else {}
        filesystem = PatientS3(**options | small)
    if isinstance(filesystem, pafs.PyFileSystem):  # of fsspec too, as pyarrow opens hf://
        filesystem = pafs.PyFileSystem(Telling(filesystem.handler.fs))
    return filesystem, path


def in_address(name: str) -> str:
    """A name as it stands in an address: what would mean something else there is encoded, and all else stays legible."""
    return MEANING.sub(lambda found: quote(found[0]), name)


def _by_fsspec(uri: str) -> tuple[pafs.FileSystem, str]:
    """Of a scheme that pyarrow does not know, as `hf://` or `sftp://`."""
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise OSError(f"{error}") from error
    return pafs.PyFileSystem(Telling(filesystem)), path


def asking_once(filesystem: pafs.FileSystem) -> pafs.FileSystem:
    """The same, that says at once what is wrong instead of waiting for it to pass."""
    if not isinstance(filesystem, PatientS3):
        return filesystem
    _, (options,) = filesystem.__reduce__()
    return HastyS3(**options)
