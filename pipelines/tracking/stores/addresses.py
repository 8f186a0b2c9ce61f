"""An MLflow address as a user writes it, made the same from every folder: workers and the recorder run in their own.

MLflow takes relative paths of files from wherever a process is, and decodes `%` in them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.files.location import Location

KEYWORDS = ("databricks", "databricks-uc", "uc")
SCHEME = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9+.-]+):(?P<rest>.*)", re.DOTALL)
HOST = re.compile(r"(localhost|[\w-]+(\.[\w-]+)*):\d{1,5}(/.*)?")
DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
SQLITE = "sqlite:///"


def absolute_address(text: str) -> str:
    """The address, with a path that holds from any folder; one that is so already comes back as it is.

    Args:
        text: a server, a database, or a path of a file or folder of this machine, relative to the present folder.

    Raises:
        UserError: for an address that can be none, naming what it lacks.
    """
    text = text.strip()
    if text.lower() in KEYWORDS:
        return text.lower()
    if HOST.fullmatch(text):
        raise UserError(f"the MLflow address {text} has no scheme; write http://{text}")
    found = SCHEME.fullmatch(text)
    if found is None:
        return _folder(text, text)
    scheme, rest = found["name"].lower(), found["rest"]
    if scheme in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(text, rest)
    if scheme == "file":
        return _folder(unquote(_local_path(text, rest)), text)
    if scheme in ("http", "https"):
        return _server(text, scheme, rest)
    return f"{'postgresql' if scheme == 'postgres' else scheme}:{rest}"


def _server(text: str, scheme: str, rest: str) -> str:
    try:
        parts = urlsplit(f"{scheme}:{rest}")
        named, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"the MLflow address {text} cannot be understood ({error}); write http://HOST:PORT") from error
    if not named:
        raise UserError(f"the MLflow address {text} names no host; write {scheme}://HOST:PORT")
    return f"{scheme}:{rest}".rstrip("/")


def _sqlite(text: str, rest: str) -> str:
    path, mark, query = rest.partition("?")
    if path.startswith("//"):  # where a host would stand, and the slash behind it
        path = path[2:].removeprefix("/")
    inner = "file:" if path.startswith("file:") else ""
    path = unquote(path.removeprefix("file:"))
    if not path or path == ":memory:" or "mode=memory" in query:
        raise UserError(f"the MLflow address {text} is in memory and keeps nothing; name a file: sqlite:///outputs/mlflow.db")
    place = re.sub("^/+", "/", os.path.abspath(os.path.expanduser(path)))
    if path.endswith("/") or os.path.isdir(place):
        raise UserError(f"the MLflow address {text} is a folder; name a file in it: {sqlite_address(f'{place}/mlflow.db')}")
    return sqlite_address(place, inner) + mark + query


def sqlite_address(path: str, inner: str = "") -> str:
    """The address of a database file of an absolute path."""
    return f"{SQLITE}{inner}{path.replace('%', '%25').replace('?', '%3F')}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a local database, `None` for any other store."""
    if not uri.startswith(SQLITE):
        return None
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0]).removeprefix("file:"))


def artifacts_beside(file: Path) -> str:
    """Where the files of runs lie that are kept in a database file."""
    return f"file://{quote(str(file.absolute().parent))}/mlartifacts"


def _local_path(text: str, rest: str) -> str:
    if not rest.startswith("//"):
        return rest
    host, slash, path = rest[2:].partition("/")
    if host in (".", ".."):
        return rest[2:]
    if host not in ("", "localhost"):
        raise UserError(f"the MLflow address {text} names a host, {host}; a path of this machine has three slashes: file:///PATH")
    return slash + path


def _folder(path: str, text: str) -> str:
    """The address of a folder of runs, which only some versions of MLflow still keep."""
    place = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(place) or place.endswith(DATABASE_SUFFIXES):
        raise UserError(f"the MLflow address {text} is a file's path; for a database write {sqlite_address(place)}")
    return f"file://{quote(place)}"


def default_address(storage: Location) -> str:
    """A database file beside the runs.

    Raises:
        UserError: when the runs are on remote storage: a local file would be lost with this machine.
    """
    if not storage.is_local:
        raise UserError(f"storage is {storage}, so the record needs a server too: set tracking.uri or MLFLOW_TRACKING_URI")
    return sqlite_address(f"{storage.path}/mlflow.db")
