"""Arrays, tensors and tables of whatever library, as what is given under the name of a parameter: in a form that numpy has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_array(given: Any, name: str) -> Any:
    """A tensor as an array, wherever it is and whether it has a gradient, floats of 16 bits or less as float32; else as it is.

    Raises:
        TypeError: for a tensor that holds its numbers in another way than densely, or holds none, under the `name` it has.
    """
    if not isinstance(given, Tensor):
        return given
    if given.is_nested:
        raise TypeError(f"{name} is a nested tensor, whose rows may differ in length; give a tensor of rows of one length")
    if given.layout is not torch.strided:
        raise TypeError(f"{name} is a sparse tensor ({given.layout}); give a dense one: {name}.to_dense()")
    if given.is_quantized:
        raise TypeError(f"{name} is a quantized tensor; give its numbers: {name}.dequantize()")
    if given.is_meta:
        raise TypeError(f"{name} is a tensor on the meta device, which holds no numbers; give one that does")
    return (given.float() if given.is_floating_point() and given.element_size() < 4 else given).numpy(force=True)


def table_of(given: Any, name: str) -> Any:
    """A column of n vectors, alone or as the one column of a table, as rows (n, D); anything else as it is.

    Raises:
        ValueError: for vectors of several lengths or beside other columns.
    """
    if isinstance(given, list | tuple):
        _check_lengths(given, name)
        return given
    kinds = np.atleast_1d(np.asarray(getattr(given, "dtypes", None), dtype=object))
    if all(getattr(kind, "kind", "O") != "O" for kind in kinds):
        return given  # a frame of numbers, whose cells need no look
    table = np.asarray(given)
    if table.dtype != object or table.ndim not in (1, 2) or not len(table):
        return given
    columns = list(table[None] if table.ndim == 1 else table.T)
    of_vectors = [place for place, column in enumerate(columns) if any(map(_is_vector, column))]
    if not of_vectors:
        return given
    if len(columns) > 1:
        names = next((getattr(given, word) for word in ("column_names", "columns") if hasattr(given, word)), range(len(columns)))
        held = repr(names[of_vectors[0]])
        raise ValueError(
            f"{name} has vectors in column {held} and {len(columns) - 1} more; give the column of vectors alone: {name}[{held}]"
        )
    _check_lengths(columns[0], name)
    return np.stack(list(columns[0]))


def _is_vector(cell: Any) -> bool:
    """Whether a cell of a column, or a row of a list, holds several values: an array, a tensor, a list of whatever library."""
    return hasattr(cell, "__len__") and getattr(cell, "ndim", 1) > 0 and not isinstance(cell, str | bytes | Mapping)


def _check_lengths(rows: Sequence[Any] | np.ndarray, name: str) -> None:
    """Refuse rows some of which are vectors of another length, or none."""
    lengths = [len(row) if _is_vector(row) else None for row in rows]
    usual = next((length for length in lengths if length is not None), None)
    odd = next((place for place, length in enumerate(lengths) if length != usual), None)
    if odd is not None:
        has = "is no vector" if lengths[odd] is None else f"has {lengths[odd]} numbers"
        raise ValueError(f"row {odd} of {name} {has} where others have {usual}; give vectors of one length, one a row")
