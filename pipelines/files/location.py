"""Files on a local disk or any `pyarrow.fs` URI, with writes that are whole or absent."""

from __future__ import annotations

import io
import json
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines.errors import UserError
from pipelines.files.file_systems import file_system, in_address
from pipelines.files.storage_errors import patiently
from pipelines.secrets import is_hidden

REPLACED = 10  # times that a file may be replaced while it is read
PARTIAL = ".partial"  # ends the name of a local file that is being written
CUT_OFF = re.compile(rf".+\.[0-9a-f]{{32}}{re.escape(PARTIAL)}", re.DOTALL)  # such a name, which nobody else gives
LOCAL_READ, REMOTE_READ = 64 << 10, 4 << 20  # bytes that are read at once


def is_on_disk(place: str) -> bool:
    """Whether a path or a URI names a place on this machine's disk; no storage is asked."""
    return "://" not in place or place.startswith("file://")


@dataclass(frozen=True)
class Location:
    """A file or folder: a file system, a path in it, and the URI that both came from (empty for a local path)."""

    filesystem: pafs.FileSystem
    path: str
    uri: str = field(default="", compare=False)

    @classmethod
    def of(cls, place: str | Path, home: str = "") -> Location:
        """The location of a local path, which may be relative to `home` or to this folder, or a URI such as `s3://bucket/folder`.

        Raises:
            UserError: for an empty text or one that is not UTF-8, or a URI that no file system serves.
        """
        text = str(place)
        if not text:
            raise UserError("a path is empty; give one (or is a variable of the shell not set?)")
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):  # as Python has bytes that are no UTF-8
            raise UserError(f"the path {text!r} has a character that no path may have, or is no UTF-8; rename it")
        if "://" not in text:
            return cls(pafs.LocalFileSystem(), os.path.abspath(os.path.join(home, os.path.expanduser(text))))
        scheme, _, rest = text.partition("://")
        if scheme != "file" and (not rest or rest[0] in "/?"):
            raise UserError(f"{text!r} names no bucket; give {scheme}://BUCKET/FOLDER")
        if is_hidden(text):
            raise UserError(f"{text} was stored without its secret; give the address anew, with it")
        try:
            filesystem, path = file_system(text)
        # A malformed URI, a scheme without a library or that wants more than that, a host or credentials that do not answer.
        except (pa.ArrowException, OSError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"no file system serves {text!r}: {error}; give a local path or an s3://, gs:// or abfs:// URI"
            ) from error
        return cls(filesystem, path, "" if isinstance(filesystem, pafs.LocalFileSystem) else text)

    @property
    def is_local(self) -> bool:
        """Whether the files lie on this machine's disk."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def __hash__(self) -> int:
        return hash((self.filesystem.type_name, self.path))  # pyarrow's file systems have no hash of their own

    def __truediv__(self, name: str) -> Location:
        if not name:  # a path from here to here
            return self
        base, query = self._address()
        written = name if self._is_fsspec else in_address(name)
        uri = f"{base}/{written}{query}" if base else ""
        return Location(self.filesystem, posixpath.join(self.path, name), uri)

    @property
    def _is_fsspec(self) -> bool:
        """Whether its address has names as they are."""
        return isinstance(self.filesystem, pafs.PyFileSystem)

    def _address(self) -> tuple[str, str]:
        """The URI up to its query, and that, which may hold the endpoint; a ? that fsspec has in its path begins none."""
        if self._is_fsspec and "?" in self.path:
            return self.uri.rstrip("/"), ""
        base, mark, query = self.uri.partition("?")
        return base.rstrip("/"), mark + query

    def __str__(self) -> str:
        return self.uri or self.path

    @property
    def name(self) -> str:
        """Last part of the path."""
        return posixpath.basename(self.path.rstrip("/"))

    @property
    def parent(self) -> Location:
        """The folder that holds it."""
        base, query = self._address()
        uri = f"{posixpath.dirname(base)}{query}" if base else ""
        return Location(self.filesystem, posixpath.dirname(self.path.rstrip("/")), uri)

    def lies_in(self, folder: Location) -> bool:
        """Whether it is that folder, or lies in it."""
        if self.is_local != folder.is_local or self.filesystem.type_name != folder.filesystem.type_name:
            return False
        mine, other = (os.path.realpath(one.path) if one.is_local else one.path.strip("/") for one in (self, folder))
        return f"{mine}/".startswith(f"{other.rstrip('/')}/")

    def exists(self) -> bool:
        """Whether a file or folder is there."""
        return bool(self.filesystem.get_file_info(self.path).type != pafs.FileType.NotFound)

    def size(self) -> int:
        """Bytes of the file; 0 where there is none."""
        return self.filesystem.get_file_info(self.path).size or 0

    def is_file(self) -> bool:
        """Whether a file is there."""
        if self.is_local:  # whose names may be no UTF-8
            return os.path.isfile(self.path)
        return bool(self.filesystem.get_file_info(self.path).type == pafs.FileType.File)

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        if self.is_local:
            return os.path.isdir(self.path)
        return bool(self.filesystem.get_file_info(self.path).type == pafs.FileType.Directory)

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse a place for a new file where something is.

        Raises:
            UserError: for a folder, and for a file that is not to be replaced.
        """
        if self.is_dir():
            raise UserError(f"{self} is a folder; name a file in it")
        if self.exists() and not overwrite:
            raise UserError(f"{self} is there already; choose another --to or give --overwrite")

    def children(self) -> list[str]:
        """Names in the folder, sorted; none where there is no folder."""
        if self.is_local:
            return sorted(os.listdir(self.path)) if os.path.isdir(self.path) else []
        if not self.is_dir():
            return []
        found = self.filesystem.get_file_info(pafs.FileSelector(self.path))
        return sorted(posixpath.basename(info.path) for info in found)

    def make(self) -> Location:
        """Create the folder and return it."""
        self.filesystem.create_dir(self.path, recursive=True)
        return self

    def make_writable(self) -> Location:
        """Create the folder, and write what goes at once into a local one: a refusal is to come before the work, not after it.

        Raises:
            OSError: what was refused.
        """
        if self.make().is_local:
            with tempfile.TemporaryFile(dir=self.path) as file:
                file.write(PARTIAL.encode())
        return self

    def delete_file(self) -> None:
        """Remove the file; nothing where there is none, or where a folder has its name."""
        if self.filesystem.get_file_info(self.path).type == pafs.FileType.File:
            self.filesystem.delete_file(self.path)

    def delete_folder(self) -> None:
        """Remove the folder and what is in it; nothing where there is none."""
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def open(self) -> io.BufferedReader:
        """The file, to read and seek in; reads are as long as the storage is slow to answer."""
        file = patiently(lambda: self.filesystem.open_input_file(self.path))
        return io.BufferedReader(_Raw(file), LOCAL_READ if self.is_local else REMOTE_READ)

    def read_part(self, start: int, size: int) -> bytes:
        """So many bytes of the file from a place on; fewer where it ends."""

        def read() -> bytes:
            with self.filesystem.open_input_file(self.path) as file:
                return bytes(file.read_at(size, start))

        return patiently(read)

    def read_bytes(self) -> bytes:
        """The whole file."""

        def read() -> bytes:
            with self.filesystem.open_input_file(self.path) as file:
                return bytes(file.read())

        content = patiently(read)
        # An object's size is asked for first: one that is replaced between that and the reading comes cut short.
        for _ in range(0 if self.is_local else REPLACED):
            if len(content) == self.size():
                return content
            content = patiently(read)
        if not self.is_local:
            raise OSError(f"{self} changes while it is read, or its storage says another size than it has")
        return content

    @contextmanager
    def on_disk(self) -> Iterator[str]:
        """A path of the file on this machine: its own, or that of a copy without a name, which goes with its last reader."""
        if self.is_local:
            yield self.path
            return
        with tempfile.TemporaryFile() as copy, self.open() as file:
            shutil.copyfileobj(file, copy, REMOTE_READ)
            copy.flush()
            yield f"/dev/fd/{copy.fileno()}"

    @contextmanager
    def written(self) -> Iterator[Any]:
        """A stream whose content is the file's once the block ends well; the file stays as it was when it does not.

        A local file is written beside its place and moved there. An object is uploaded once: it is there when it is whole.
        """
        if not self.is_local:
            sink = pa.BufferOutputStream()
            yield sink
            content = sink.getvalue()
            patiently(lambda: self._upload(content))
            return
        partial = Location(self.filesystem, f"{self.path}.{uuid.uuid4().hex}{PARTIAL}")
        try:
            with self.filesystem.open_output_stream(partial.path) as file:
                yield file
            self.filesystem.move(partial.path, self.path)
        except BaseException as error:
            partial.delete_file()
            if isinstance(error, OSError) and error.errno:
                raise OSError(error.errno, f"{self} cannot be written: {os.strerror(error.errno)}") from error
            raise

    def _upload(self, content: pa.Buffer) -> None:
        with self.filesystem.open_output_stream(self.path) as file:
            file.write(content)

    def write_bytes(self, content: bytes) -> None:
        """Write the file whole or not at all."""
        with self.written() as file:
            file.write(content)

    def cut_off(self) -> list[str]:
        """Names in the folder of what writes have left that were cut off, or are going on."""
        return [name for name in self.children() if CUT_OFF.fullmatch(name)] if self.is_local else []

    def delete_cut_off(self) -> None:
        """Remove what writes into this folder have left that were cut off; nobody else may be writing there."""
        for name in self.cut_off():
            (self / name).delete_file()

    def write_parquet(self, table: pa.Table, **options: Any) -> None:
        """Write a table as Parquet, whole or not at all; `options` are those of `pyarrow.parquet.write_table`."""
        with self.written() as file:
            pq.write_table(table, file, **options)

    def read_json(self) -> Any:
        """The file's JSON value.

        Raises:
            UserError: for a file that is cut short or damaged.
        """
        try:
            return json.loads(self.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self} is cut short or damaged ({error}); restore it") from error

    def write_json(self, value: Any) -> None:
        """Write a JSON value, whole or not at all."""
        self.write_bytes(json.dumps(value, indent=1).encode())


class _Raw(io.RawIOBase):
    """A file of `pyarrow.fs` for Python's own readers; each read is asked again where the storage is busy."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size() if whence == io.SEEK_END else 0}
        self._place = start[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        content = patiently(lambda: self._file.read_at(len(buffer), self._place))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def path_on_disk(place: str) -> Path:
    """A path as it is, and that of a URI of this machine's disk."""
    return Path(Location.of(place).path) if "://" in place else Path(place)
