"""Pickles of byte arrays, numbers, strings and containers, read without running what they name.

A pickle is a program that may call whatever it can import. Here the few names that an array needs lead to stand-ins, and any
other name is refused; so nothing of a file's choosing is called, not even NumPy's own reading of a state.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Callable
from pickle import UnpicklingError

import numpy as np

DAMAGE = (AttributeError, EOFError, ImportError, LookupError, MemoryError, OverflowError, TypeError, ValueError, struct.error)


def load(content: bytes) -> dict[bytes, object]:
    """The dictionary that a pickle of Python 2 or 3 holds; its arrays of uint8 become NumPy arrays.

    Raises:
        UnpicklingError: for a pickle of anything else, a damaged one, or bytes that are none.
    """
    try:
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
    except DAMAGE as error:
        raise UnpicklingError(f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise UnpicklingError(f"it holds a {type(found).__name__} instead of a dictionary")
    return {key: value.values if isinstance(value, _Array) else value for key, value in found.items()}


class _Dtype:
    """In place of `numpy.dtype`: only its code."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, _: object) -> None:
        """Nothing: byte order and alignment, which single bytes do not have."""


class _Array:
    """In place of `numpy.ndarray` and of the function that makes an empty one."""

    def __init__(self, *_: object) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: tuple[object, tuple[int, ...], _Dtype, object, bytes]) -> None:
        _, shape, dtype, by_column, content = state
        if dtype.code not in ("u1", "|u1"):
            raise UnpicklingError(f"an array in it is of type {dtype.code!r} instead of bytes ('u1')")
        if not isinstance(content, bytes) or len(content) != math.prod(shape):
            raise UnpicklingError(f"an array in it does not hold the values that its shape {shape} says")
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


def _latin1(text: str, _: object) -> bytes:
    """In place of `_codecs.encode`, by which Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


STAND_INS: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _latin1,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """The stand-in for a name."""
        if (module, name) not in STAND_INS:
            raise UnpicklingError(f"it asks for {module}.{name}, which no data set needs: this file may be an attack")
        return STAND_INS[module, name]
