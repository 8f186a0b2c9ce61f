"""The IDX files of MNIST and its descendants."""

from __future__ import annotations

import functools
import gzip
import math
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from pipelines.datasets.encoded_image import encode_pixels
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import as_damage
from pipelines.ingest.sources.source import Listing, Sample, opening


def is_idx(root: Location) -> bool:
    """Whether a folder holds IDX files of images."""
    return any("-images-idx3-ubyte" in name for name in root.children())


@dataclass(frozen=True)
class IdxSource:
    """The MNIST family's IDX files, gzipped or plain: `train-*` and `t10k-*`."""

    root: Location
    opened: str = field(default_factory=opening, compare=False)

    def listing(self) -> Listing:
        """Samples as `part:index`, labels where the label file is there."""
        samples, notes = list[Sample](), list[str]()
        for part, split in (("train", "train"), ("t10k", "test")):
            if (images := self._file(part, "images-idx3-ubyte")) is None:
                continue
            count = len(_read_idx(images, self.opened))
            label_file = self._file(part, "labels-idx1-ubyte")
            labels = _read_idx(label_file, self.opened) if label_file else None
            if labels is not None and len(labels) != count:
                raise UserError(f"{label_file} holds {len(labels)} labels for {count} images; the files do not belong together")
            if labels is None:
                notes.append(f"beside {images.name} lies no {part}-labels-idx1-ubyte: its images have no labels")
            samples += [Sample(f"{part}:{i}", None if labels is None else int(labels[i]), split) for i in range(count)]
        if not samples:
            raise UserError(f"{self.root} holds no train-images-idx3-ubyte or t10k-images-idx3-ubyte, gzipped or plain")
        known = [sample.label for sample in samples if sample.label is not None]
        return Listing(samples, [str(i) for i in range(max(known, default=-1) + 1)], notes=notes)

    def read(self, key: str) -> bytes:
        """Pixels of one image."""
        part, index = key.split(":")
        path = self._file(part, "images-idx3-ubyte")
        if path is None:
            raise FileNotFoundError(f"{part} images in {self.root}")
        return encode_pixels(_read_idx(path, self.opened)[int(index)])

    def _file(self, part: str, what: str) -> Location | None:
        return _found(self.root / f"{part}-{what}", self.opened)


@functools.lru_cache(maxsize=4)  # on an object store each look is a request
def _found(path: Location, opened: str) -> Location | None:
    """The file, or the gzipped one."""
    return next((file for file in (path, path.parent / f"{path.name}.gz") if file.is_file()), None)


@functools.lru_cache(maxsize=4)
def _read_idx(path: Location, opened: str) -> np.ndarray:
    """Array of an IDX file of unsigned bytes; its header gives the shape."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        zeros, kind, axes = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    except (EOFError, OSError, zlib.error, struct.error) as error:
        raise as_damage(error, f"{path} is cut short or damaged") from error
    if zeros != 0 or kind != 8 or axes != (3 if "images" in path.name else 1):
        raise UserError(f"{path} is no IDX file of the kind its name says; its first bytes are {content[:4].hex()}")
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if pixels.size != math.prod(shape):
        raise UserError(f"{path} says {shape} but holds {pixels.size} values; it is cut short or damaged")
    return pixels.reshape(shape)
