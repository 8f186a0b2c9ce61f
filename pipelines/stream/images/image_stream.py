"""Images on their way to training: shards -> shuffled, decoded, cropped and augmented batches on the worker's device.

Tasks read, decode and crop to uint8 pixels; the worker moves those to its device and finishes the augmentation there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import ray
import torch
from torch import Tensor

from algos.methods.method import Batch, LabelledRows
from pipelines.datasets.image_shards import Dataset, Split
from pipelines.stream.epoch_order import EpochOrder
from pipelines.stream.images.center_crops import EvaluationView
from pipelines.stream.images.crop_maker import CropMaker
from pipelines.stream.images.decoded_rows import Decode, EncodedRows
from pipelines.stream.images.encoded_maker import EncodedMaker
from pipelines.stream.images.image_windows import WindowReader
from pipelines.stream.prefetch import Columns
from pipelines.stream.transfer import joined
from pipelines.views.augment import augment, draws_needed, normalize
from pipelines.views.crops import CropSpec
from pipelines.views.shown_picture import Showing
from pipelines.views.view_config import Normalization, ViewConfig, Views


@dataclass(frozen=True)
class HostImages:
    """A worker's rows of a step as they leave Ray Data, in page-locked memory where the device is a GPU."""

    ids: Tensor
    labels: Tensor
    views: list[Tensor] | EncodedRows
    unreadable: int


@dataclass(frozen=True)
class ImageSource:
    """Training images in their views.

    Attributes:
        dataset: the shards.
        split: which of its splits.
        views: the rules of the views.
        normalization: of the pixels.
        device: where batches go.
        labelled: table (id, image, label) of the labelled rows that come with each batch, in Ray's object store.
        showing: how images are shown.
        decode: JPEGs on the device; `None` where tasks decode and crop.
        unreadable: how many images of each step since the last look could not be decoded, and are grey.
    """

    dataset: Dataset
    split: str
    views: Views
    normalization: Normalization
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    labelled: ray.ObjectRef | None = None
    showing: Showing = field(default_factory=Showing)
    decode: Decode | None = None
    unreadable: list[int] = field(default_factory=list)

    @classmethod
    def cropped(
        cls, dataset: Dataset, split: str, view: EvaluationView, crop: tuple[float, float], flip: float, device: torch.device
    ) -> ImageSource:
        """Images in one view, a random crop of an evaluation's size and perhaps its mirror image: as probes are trained on."""
        rules = Views([ViewConfig(view.size, scale=crop, flip=flip)])
        pixels = Normalization(list(view.mean), list(view.std))
        return cls(dataset, split, rules, pixels, device, showing=view.showing)

    @property
    def rows(self) -> Split:
        """The shards of the split."""
        return self.dataset.split(self.split)

    @property
    def crops(self) -> list[CropSpec]:
        """What is cut out of each image."""
        return [CropSpec(view.size, view.scale, view.pad) for view in self.views.flat]

    def reader(self, order: EpochOrder, lanes: range, start_step: int) -> WindowReader:
        """Reads some lanes of an epoch; decodes and crops them too, unless the device does."""
        maker = CropMaker if self.decode is None else EncodedMaker
        return WindowReader(self.dataset, self.split, order, lanes, self.crops, start_step, self.labelled, self.showing, maker)

    def take_unreadable(self) -> int:
        """How many images could not be decoded since the last call."""
        count = sum(self.unreadable)
        self.unreadable.clear()
        return count

    def to_host(self, parts: list[Columns]) -> HostImages:
        """One copy out of the object store, whose pages are read-only, into memory that a GPU can fetch from."""
        pin = self.device.type == "cuda"
        unreadable = sum(int(part["unreadable"].sum()) for part in parts if "unreadable" in part)
        views: list[Tensor] | EncodedRows
        if self.decode is not None:
            views = EncodedRows.of(parts, self.crops)
        else:  # (rows, S, S, 3) seen as (rows, 3, S, S) is the channels_last layout already
            views = [joined(parts, f"view{index}", pin=pin).permute(0, 3, 1, 2) for index in range(len(self.views.flat))]
        return HostImages(joined(parts, "id"), joined(parts, "label", pin=pin), views, unreadable)

    def to_device(self, host: HostImages, order: EpochOrder, lanes: range, step: int) -> Batch:
        """The batch with its augmentation finished, by random numbers that are the same for any worker count."""
        crops = self._crops(host)
        generator, shape, rules = order.step_generator(step), order.shape, self.views.flat
        colour_order, mine = generator.permutation(4), len(lanes) * shape.lane_rows
        draws = [_draws(generator, rule, shape.batch_size, _share(lanes, shape.lane_rows)) for rule in rules]
        views = [
            self._finish(pixels[:mine], rule, draw, colour_order) for pixels, rule, draw in zip(crops, rules, draws, strict=True)
        ]
        labelled = None
        if self.labelled is not None:
            draw = _draws(generator, rules[0], shape.labelled, _share(lanes, shape.lane_labelled))
            images = self._finish(crops[0][mine:], rules[0], draw, colour_order)
            labelled = LabelledRows(images, host.labels[mine:].to(self.device, non_blocking=True))
        return Batch(host.ids[:mine], views[: self.views.num_large], views[self.views.num_large :], labelled)

    def _crops(self, host: HostImages) -> list[Tensor]:
        """Each crop of all rows, uint8, on the host or on the device; images that could not be decoded are counted."""
        if isinstance(host.views, list):
            self.unreadable.append(host.unreadable)
            return host.views
        assert self.decode is not None, "rows come encoded where the device decodes"
        crops, unreadable = host.views.views(self.crops, self.decode, self.device)
        if unreadable and self.rows.is_checked:
            raise RuntimeError(f"{unreadable} images of {self.dataset.location} could be decoded once and cannot now")
        self.unreadable.append(host.unreadable + unreadable)
        return crops

    def _finish(self, pixels: Tensor, rule: ViewConfig, draws: Tensor, colour_order: np.ndarray) -> Tensor:
        views = augment(pixels.to(self.device, non_blocking=True), rule, draws, colour_order)
        return normalize(views, self.normalization.mean, self.normalization.std)


def _share(lanes: range, lane_rows: int) -> slice:
    """A worker's rows of a global batch whose lanes have so many each."""
    return slice(lanes.start * lane_rows, lanes.stop * lane_rows)


def _draws(generator: np.random.Generator, rule: ViewConfig, rows: int, share: slice) -> Tensor:
    """Uniform draws of a worker's share of the rows of a global batch."""
    return torch.from_numpy(generator.random((rows, draws_needed(rule)), dtype=np.float32)[share])
