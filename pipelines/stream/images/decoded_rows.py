"""Rows of a step whose JPEGs the worker's device decodes, in batches, and cuts the crops out of."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.datasets.encoded_image import open_image
from pipelines.errors import UserError
from pipelines.stream.images.crop_maker import GREY
from pipelines.stream.prefetch import Columns
from pipelines.stream.transfer import joined
from pipelines.views.crops import CropSpec
from pipelines.views.device_crops import squares
from pipelines.views.shown_picture import Showing

Decode = Callable[[list[Tensor]], list[Tensor]]  # JPEGs, 1-D uint8 on the host, to uint8 (3, H, W) on a device


def codec_of(device: torch.device) -> Decode:
    """The device's codec for batches of JPEGs: nvJPEG on a GPU.

    Raises:
        UserError: where torchcodec is not installed, or decodes nothing there.
    """
    try:
        codecs = importlib.import_module("torchcodec.decoders")  # seconds, and few need it
        codecs.decode_jpeg([_smallest()], mode="RGB", device=device)
    except (ImportError, RuntimeError) as error:  # it raises the second where it finds another torch than its own
        why = str(error).strip().split("\n", maxsplit=1)[0]
        raise UserError(
            f"stream.decode: gpu needs torchcodec with nvJPEG ({why}); pip install 'quorum-kmeans[nvjpeg]', or decode on the cpu"
        ) from None

    def decode(images: list[Tensor]) -> list[Tensor]:
        return list(codecs.decode_jpeg(images, mode="RGB", device=device))

    return decode


def _smallest() -> Tensor:
    """A JPEG to try a codec with."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


@dataclass(frozen=True)
class EncodedRows:
    """A worker's rows of a step on the host.

    Attributes:
        images: the JPEGs, 1-D uint8 each.
        rows: (J,) whose they are.
        boxes: (J, crops, 4) float32, in px; NaN for a crop that a row has not.
        cropped: of each crop, the rows that come cropped, and their pixels, uint8 (C, 3, S, S).
        count: of all rows.
    """

    images: list[Tensor]
    rows: Tensor
    boxes: Tensor
    cropped: list[tuple[Tensor, Tensor]]
    count: int

    @classmethod
    def of(cls, parts: Sequence[Columns], crops: Sequence[CropSpec]) -> EncodedRows:
        """What an `EncodedMaker` made, in memory of this process."""
        encoded = [image for part in parts for image in part["encoded"]]
        boxes, counts = joined(parts, "boxes"), joined(parts, "crops")
        whole = boxes[:, 0].isfinite().all(dim=1)
        rows = whole.nonzero().squeeze(1)
        bytes_of = [encoded[row] for row in rows.tolist()]
        content = torch.frombuffer(bytearray().join(bytes_of), dtype=torch.uint8) if bytes_of else torch.empty(0)
        images = list(content.split([len(image) for image in bytes_of])) if bytes_of else []
        cropped, start = [], np.zeros(len(encoded), np.int64)
        for index, crop in enumerate(crops):
            has = (~whole & (counts > index)).nonzero().squeeze(1)
            size = crop.size * crop.size * 3
            views = [np.frombuffer(encoded[row], np.uint8, size, start[row]) for row in has.tolist()]
            pixels = np.stack(views) if views else np.empty((0, size), np.uint8)
            cropped.append((has, torch.from_numpy(pixels).view(-1, crop.size, crop.size, 3).permute(0, 3, 1, 2)))
            start[has.numpy()] += size
        return cls(images, rows, boxes[rows], cropped, len(encoded))

    def views(self, crops: Sequence[CropSpec], decode: Decode, device: torch.device) -> tuple[list[Tensor], int]:
        """Each crop of all rows, uint8 (rows, 3, S, S) on the device, and how many JPEGs could not be decoded and are grey.

        A crop that a row has not is black.
        """
        pictures, unreadable = self._decoded(decode, device)
        made = []
        for index, (crop, (rows, pixels)) in enumerate(zip(crops, self.cropped, strict=True)):
            view = torch.zeros(self.count, 3, crop.size, crop.size, dtype=torch.uint8, device=device)
            view = view.contiguous(memory_format=torch.channels_last)
            view.index_copy_(0, rows.to(device, non_blocking=True), pixels.to(device, non_blocking=True))
            has = self.boxes[:, index, 0].isfinite().nonzero().squeeze(1).tolist()
            if has:
                made_of = squares([pictures[place] for place in has], self.boxes[has, index], crop.size)
                view.index_copy_(0, self.rows[has].to(device, non_blocking=True), made_of)
            made.append(view)
        return made, unreadable

    def _decoded(self, decode: Decode, device: torch.device) -> tuple[list[Tensor], int]:
        try:
            return decode(self.images) if self.images else [], 0
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # one of them is damaged, and the codec does not say which
            alone = [_decoded_alone(image, decode) for image in self.images]
        missing = [place for place, picture in enumerate(alone) if picture is None]
        for place in missing:
            right, low = self.boxes[place, :, 2:].nan_to_num().amax(dim=0).int().tolist()
            alone[place] = torch.full((3, low, right), GREY, dtype=torch.uint8)
        return [picture.to(device) for picture in alone if picture is not None], len(missing)


def _decoded_alone(image: Tensor, decode: Decode) -> Tensor | None:
    """A JPEG, (3, H, W), by the device's codec, else by a CPU's; `None` where neither can."""
    try:
        return decode([image])[0]
    except RuntimeError:
        try:
            picture = Showing().show(open_image(image.numpy().tobytes())).convert("RGB")
        except Exception:  # codecs raise what they like
            return None
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
