"""What Ray Tune keeps of a sweep in the sweep's folder holds no secret: its own files are pickles of all that it was given.

None of these files is read again: a resumed sweep tells Ray Tune anew what there is to do.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import ray

from pipelines.files.location import Location
from pipelines.secrets import hidden

Value = TypeVar("Value")


class Unwritten(Generic[Value]):
    """A value of this process; what is pickled of it is nothing.

    Args:
        value: see above; in a process that it was sent to, `None`.
    """

    def __init__(self, value: Value | None = None) -> None:
        self._value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return Unwritten, ()

    def __call__(self) -> Value:
        """The value.

        Raises:
            RuntimeError: in another process.
        """
        if self._value is None:
            raise RuntimeError("this was not sent to other processes")
        return self._value


def storage_of(folder: Location) -> pafs.FileSystem:
    """The file system of a sweep's folder for Ray Tune, which sends it to the trials and pickles it into its files.

    One whose address holds a secret is sent by a reference to Ray's object store, which ends with the sweep's process.
    """
    secret = hidden(str(folder)) != str(folder)
    return pafs.PyFileSystem(_Referred(folder.filesystem)) if secret else folder.filesystem


class _Referred(pafs.FileSystemHandler):  # type: ignore[misc]
    """A file system that is pickled as a reference.

    Args:
        inner: the file system.
        reference: to it, where there is one already.
    """

    def __init__(self, inner: pafs.FileSystem, reference: Any = None) -> None:
        super().__init__()
        self.inner = inner
        self.reference = ray.put(inner) if reference is None else reference

    def __reduce__(self) -> tuple[Any, ...]:
        return _referred, (self.reference,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Referred) and self.inner == other.inner

    def __hash__(self) -> int:
        return hash(self.get_type_name())

    def get_type_name(self) -> str:
        """Of the file system."""
        return str(self.inner.type_name)

    def normalize_path(self, path: str) -> str:
        """As the file system does it, and so the others."""
        return str(self.inner.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        """What lies at each path."""
        return list(self.inner.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """What lies in a folder."""
        return list(self.inner.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder."""
        self.inner.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        """Remove a folder."""
        self.inner.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Empty a folder."""
        self.inner.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        """Nothing that a sweep does."""
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        """Remove a file."""
        self.inner.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        """Move a file."""
        self.inner.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file."""
        self.inner.copy_file(src, dest)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """The file, read once from its start."""
        return self.inner.open_input_stream(path, compression=None)

    def open_input_file(self, path: str) -> pa.NativeFile:
        """The file, read anywhere."""
        return self.inner.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        """A new file."""
        return self.inner.open_output_stream(path, compression=None, metadata=metadata)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        """More of a file."""
        return self.inner.open_append_stream(path, compression=None, metadata=metadata)


def _referred(reference: Any) -> _Referred:
    return _Referred(ray.get(reference), reference)
