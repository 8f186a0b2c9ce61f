"""What Ray Tune keeps of a sweep in the sweep's folder holds no secret: its own files are pickles of all that it was given.

None of these files is read again: a resumed sweep tells Ray Tune anew what there is to do.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

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
    return _Referred(folder.filesystem) if secret else folder.filesystem


class _Referred(pafs.SubTreeFileSystem):
    """The whole of a file system, pickled as a reference to it.

    Args:
        inner: the file system.
        reference: to it, where there is one already.
    """

    def __init__(self, inner: pafs.FileSystem, reference: Any = None) -> None:
        super().__init__("", inner)
        self.reference = ray.put(inner) if reference is None else reference

    def __reduce__(self) -> tuple[Any, ...]:
        return _referred, (self.reference,)


def _referred(reference: Any) -> _Referred:
    return _Referred(ray.get(reference), reference)
