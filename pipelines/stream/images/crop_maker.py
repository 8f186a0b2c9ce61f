"""The second half of the stream's work in Ray Data tasks: decode images and take their crops. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from pipelines.stream.ray_data import BLOCK_BYTES
from pipelines.views.crops import ATTEMPTS, CropSpec, random_crops
from pipelines.views.shown_picture import Showing

BESIDE = 28  # bytes of a row besides its image and its draws
CARRIED = ("step", "id", "label")
UNIT_BYTES = 64 << 20  # of encoded images or of crops, that one task makes in about half a second
UNIT_ROWS = (1, 4096)
AMPLE = 1.25
GREY = 128
MOST_BLOCKS = 32  # of a unit's crops


def draws_column(draws: np.ndarray) -> pa.Array:
    """Draws (rows, crops, ATTEMPTS, 4) as a column, without a copy if they are contiguous."""
    rows, width = len(draws), draws[0].nbytes if len(draws) else 4
    content = pa.py_buffer(np.ascontiguousarray(draws))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, content])


def draws_of(column: pa.Array, crops: int) -> np.ndarray:
    """The draws of a column, without a copy."""
    width = crops * ATTEMPTS * 4
    draws = np.frombuffer(column.buffers()[1], np.float32, count=len(column) * width, offset=column.offset * width * 4)
    return draws.reshape(-1, crops, ATTEMPTS, 4)


class CropMaker:
    """Makes columns `step`, `id`, `label`, `view0`, ... of the tables of a `WindowReader`; `unreadable` too if none was checked.

    Args:
        crops: of each image.
        showing: how images are shown.
        encoded_bytes: of an image, about.
        checked: whether every image was decoded once. Otherwise one that cannot be is shown grey, and counted.

    Attributes:
        unit_rows: rows that one task decodes.
        block_bytes: of Ray's blocks. Ray passes on what it is given as a block if that has one to one and a half times as many
            bytes, and otherwise copies.
        apart: whether other tasks decode than read. Ray has one size for the blocks of both: where encoded images are very small
            beside their crops, the blocks of these would be tiny.
    """

    def __init__(self, crops: Sequence[CropSpec], showing: Showing, encoded_bytes: float, checked: bool = True) -> None:
        self.crops, self.showing, self.checked = crops, showing, checked
        row_bytes = sum(crop.size * crop.size * 3 for crop in crops)
        read_bytes = encoded_bytes + len(crops) * ATTEMPTS * 4 * 4 + BESIDE
        self.apart = row_bytes <= MOST_BLOCKS * read_bytes
        most = min(UNIT_BYTES / row_bytes, AMPLE * BLOCK_BYTES / read_bytes)
        self.unit_rows = int(np.clip(most, *UNIT_ROWS))
        self.block_bytes = max(1, int(self.unit_rows * read_bytes / AMPLE)) if self.apart else BLOCK_BYTES
        self._block_rows = max(1, int(self.block_bytes * AMPLE / row_bytes))

    def __call__(self, table: pa.Table) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a table, a block at a time."""
        for first in range(0, len(table), self._block_rows):
            yield self._make(table.slice(first, self._block_rows))

    def _make(self, table: pa.Table) -> dict[str, np.ndarray]:
        rows, counts = len(table), table["crops"].to_numpy().tolist()
        draws = draws_of(table["draws"].combine_chunks(), len(self.crops))
        new = np.empty if min(counts) == len(self.crops) else np.zeros
        views = [new((rows, crop.size, crop.size, 3), np.uint8) for crop in self.crops]
        made = {name: table[name].to_numpy() for name in CARRIED} | {f"view{index}": view for index, view in enumerate(views)}
        if not self.checked:
            made["unreadable"] = np.zeros(rows, np.uint8)
        for row, (image, count) in enumerate(zip(table["image"].to_pylist(), counts, strict=True)):
            places = [view[row] for view in views[:count]]
            take = partial(random_crops, image, self.crops[:count], draws[row, :count], self.showing, places)
            if not shown_or_grey(take, places, checked=self.checked):
                made["unreadable"][row] = 1
        return made


def shown_or_grey(take: Callable[[], object], places: Sequence[np.ndarray], *, checked: bool) -> bool:
    """Take the crops of an image, or show it grey; whether it could be decoded.

    Args:
        take: the crops.
        places: that it writes to, uint8 (S, S, 3) each.
        checked: whether the image was decoded once: then an error is one of the storage or of ours, and raised.
    """
    try:
        take()
    except Exception:  # codecs raise what they like
        if checked:
            raise
        for place in places:
            place[...] = GREY
        return False
    return True
