"""The second half of the stream's work where a GPU decodes: which JPEGs it gets, and their boxes. Free of torch.

What the GPU's codec might show otherwise than a CPU's, or not at all, is cropped here: other formats, grey and CMYK, what is
turned or cut short, and pictures so large that a CPU, which can decode them coarsely, is no slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.datasets.encoded_image import open_image
from pipelines.stream.images.crop_maker import CARRIED, UNIT_ROWS, draws_of, shown_or_grey
from pipelines.stream.ray_data import BLOCK_BYTES
from pipelines.views.crops import CropSpec, random_box, random_crops
from pipelines.views.shown_picture import Showing

MOST_PIXELS = 1 << 21  # of a JPEG that a GPU decodes whole
END = b"\xff\xd9"  # of a JPEG that is not cut short, which GPUs' codecs do not notice
YCC = 1  # what Adobe's marker says of usual JPEGs
UPRIGHT = 1  # EXIF's orientation


class EncodedMaker:
    """Makes columns `step`, `id`, `label`, `crops`, `encoded`, `boxes` of the tables of a `WindowReader`.

    `encoded` is a JPEG, and `boxes` (crops, 4) are what to cut out of it in px: left, top, right, bottom. Where the first box is
    NaN, `encoded` are the crops, uint8, one after another. `unreadable` comes too if no image was checked.

    Args:
        crops: of each image; none is padded.
        showing: how images are shown.
        encoded_bytes: of an image, about.
        checked: whether every image was decoded once. Otherwise one that cannot be is shown grey, and counted.

    Attributes:
        unit_rows: rows that are read at a time.
        block_bytes: of Ray's blocks.
        apart: whether other tasks do this than read: it takes too little.
    """

    apart = False
    block_bytes = BLOCK_BYTES

    def __init__(self, crops: Sequence[CropSpec], showing: Showing, encoded_bytes: float, checked: bool = True) -> None:
        self.crops, self.showing, self.checked = crops, showing, checked
        self.unit_rows = int(np.clip(BLOCK_BYTES / max(encoded_bytes, 1), *UNIT_ROWS))

    def __call__(self, table: pa.Table) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a table, a block at a time."""
        draws, images = draws_of(table["draws"].combine_chunks(), len(self.crops)), table["image"].to_pylist()
        counts, begun, size = table["crops"].to_numpy(), 0, 0
        made = list[_Made]()
        for row, image in enumerate(images):
            made.append(self._make(image, self.crops[: counts[row]], draws[row, : counts[row]]))
            size += len(made[-1].content)
            if size >= BLOCK_BYTES or row + 1 == len(images):
                yield self._block(table.slice(begun, len(made)), made)
                begun, size, made = row + 1, 0, []

    def _make(self, image: bytes, crops: Sequence[CropSpec], uniform: np.ndarray) -> _Made:
        try:
            size = size_for_gpu(image)
        except Exception:  # what cannot be opened is dealt with as what cannot be decoded
            size = None
        if size is not None:
            return _Made(image, [random_box(draw.tolist(), *size, crop.scale) for crop, draw in zip(crops, uniform, strict=True)])
        views = [np.zeros((crop.size, crop.size, 3), np.uint8) for crop in crops]
        take = partial(random_crops, image, crops, uniform, self.showing, views)
        unreadable = not shown_or_grey(take, views, checked=self.checked)
        return _Made(b"".join(view.tobytes() for view in views), [], unreadable)

    def _block(self, table: pa.Table, made: Sequence[_Made]) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {name: table[name].to_numpy() for name in (*CARRIED, "crops")}
        columns["boxes"] = np.full((len(made), len(self.crops), 4), np.nan, np.float32)
        columns["encoded"] = np.empty(len(made), object)
        for row, one in enumerate(made):
            columns["encoded"][row] = one.content
            if one.boxes:
                columns["boxes"][row, : len(one.boxes)] = one.boxes
        if not self.checked:
            columns["unreadable"] = np.array([one.unreadable for one in made], np.uint8)
        return columns


class _Made(NamedTuple):
    """Of a row: its JPEG and the boxes of its crops, or these, and whether they are grey."""

    content: bytes
    boxes: list[tuple[int, int, int, int]]
    unreadable: bool = False


def size_for_gpu(image: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that a GPU's codec shows as a CPU's does; `None` for what is none.

    Raises:
        UnidentifiedImageError: for bytes that are no image.
    """
    picture = open_image(image)
    usual = picture.format == "JPEG" and picture.mode == "RGB" and picture.info.get("adobe_transform", YCC) == YCC
    if not usual or picture.width * picture.height > MOST_PIXELS or Showing().orientation(picture) != UPRIGHT:
        return None
    return picture.size if image.endswith(END) else None
