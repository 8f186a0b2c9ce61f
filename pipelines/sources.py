"""Where images come from: each source lists its samples cheaply and reads a few of them as encoded bytes.

A source is a small picklable object; `ingest` lists it once on the driver and reads it in parallel in tasks.
"""

from __future__ import annotations

import functools
import gzip
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from pipelines.errors import UserError, nearest

IMAGE_SUFFIXES = frozenset(Image.registered_extensions())
TEST_NAMES = ("val", "test", "validation")


@dataclass(frozen=True)
class Sample:
    """One image of a source: a key that the source reads it by, its label (`None` unknown) and its split."""

    key: str
    label: int | None
    split: str


@dataclass(frozen=True)
class Listing:
    """All samples of a source in a stable order, and the names of its classes."""

    samples: list[Sample]
    classes: list[str]


class Source(Protocol):
    """What `ingest` needs of a source."""

    def listing(self) -> Listing:
        """Every sample, in an order that depends on the source's content only."""

    def read(self, key: str) -> bytes:
        """Encoded image of one sample."""


def open_source(place: str, kind: str = "auto") -> Source:
    """The source that `place` names.

    Args:
        place: `digits`, or a folder.
        kind: `digits`, `idx`, `folder` (one folder per class, also below train/ and val/), `images` (no labels), or `auto`.

    Raises:
        UserError: where nothing is found, or what is found does not say what it is.
    """
    kinds = ("auto", "digits", "idx", "folder", "images")
    if kind not in kinds:
        raise UserError(f"--kind {kind!r} is unknown{nearest(kind, kinds)}; choose one of {', '.join(kinds)}")
    if place == "digits" and kind in ("auto", "digits"):
        return DigitsSource()
    root = Path(place).expanduser().resolve()  # tasks run in other folders
    if not root.is_dir():
        raise UserError(
            f"source {place!r} is no folder and no built-in data set; give a folder of images, IDX files, or 'digits'"
        )
    if kind == "idx" or (kind == "auto" and any(root.glob("*-images-idx3-ubyte*"))):
        return IdxSource(root)
    if kind == "images":
        return ImagesSource(root)
    if kind == "auto" and not any(child.is_dir() for child in root.iterdir()):
        return ImagesSource(root)
    return FolderSource(root)


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 pixels, (H, W) or (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True)
class DigitsSource:
    """scikit-learn's bundled digits: 1,797 scans of handwritten digits, 8 x 8 px, no download.

    Every fifth sample is the test split.
    """

    def listing(self) -> Listing:
        """Samples by index."""
        _, labels = _digits()
        samples = [Sample(str(i), int(label), "test" if i % 5 == 4 else "train") for i, label in enumerate(labels)]
        return Listing(samples, [str(digit) for digit in range(10)])

    def read(self, key: str) -> bytes:
        """PNG of one scan, its 17 grey levels stretched to 8 bits."""
        images, _ = _digits()
        return encode_png((images[int(key)] * (255 / 16)).round().astype(np.uint8))


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # the slowest import here, and only this source needs it

    bunch = load_digits()
    return bunch.images, bunch.target


@dataclass(frozen=True)
class IdxSource:
    """The MNIST family's IDX files, gzipped or plain: `train-*` and `t10k-*`."""

    root: Path

    def listing(self) -> Listing:
        """Samples as `part:index`, labels where the label file is there."""
        samples: list[Sample] = []
        for part, split in (("train", "train"), ("t10k", "test")):
            if (images := self._file(part, "images-idx3-ubyte")) is None:
                continue
            count = len(_read_idx(images))
            label_file = self._file(part, "labels-idx1-ubyte")
            labels = _read_idx(label_file) if label_file else None
            if labels is not None and len(labels) != count:
                raise UserError(f"{label_file} holds {len(labels)} labels for {count} images; the files do not belong together")
            samples += [Sample(f"{part}:{i}", None if labels is None else int(labels[i]), split) for i in range(count)]
        if not samples:
            raise UserError(f"{self.root} holds no train-images-idx3-ubyte or t10k-images-idx3-ubyte, gzipped or plain")
        known = [sample.label for sample in samples if sample.label is not None]
        return Listing(samples, [str(i) for i in range(max(known, default=-1) + 1)])

    def read(self, key: str) -> bytes:
        """PNG of one image."""
        part, index = key.split(":")
        path = self._file(part, "images-idx3-ubyte")
        if path is None:
            raise FileNotFoundError(f"{part} images in {self.root}")
        return encode_png(_read_idx(path)[int(index)])

    def _file(self, part: str, what: str) -> Path | None:
        candidates = [self.root / f"{part}-{what}{suffix}" for suffix in ("", ".gz")]
        return next((path for path in candidates if path.is_file()), None)


@functools.lru_cache(maxsize=4)
def _read_idx(path: Path) -> np.ndarray:
    """Array of an IDX file of unsigned bytes; its header gives the shape."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, axes = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    except (EOFError, OSError, zlib.error, struct.error) as error:
        raise UserError(f"{path} is cut short or damaged ({error}); fetch it again") from error
    if zeros != 0 or kind != 8 or axes != (3 if "images" in path.name else 1):
        raise UserError(f"{path} is no IDX file of the kind its name says; its first bytes are {content[:4].hex()}")
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if pixels.size != np.prod(shape):
        raise UserError(f"{path} says {shape} but holds {pixels.size} values; it is cut short or damaged")
    return pixels.reshape(shape)


@dataclass(frozen=True)
class FolderSource:
    """One folder per class, as torchvision's ImageFolder reads it; with train/ and val/ above them as ImageNet has it."""

    root: Path

    def listing(self) -> Listing:
        """Samples by relative path; classes are the sorted folder names over all splits."""
        splits = {child.name: child for child in self.root.iterdir() if child.name in ("train", *TEST_NAMES)}
        splits = splits if "train" in splits else {"train": self.root}
        classes = sorted({child.name for folder in splits.values() for child in folder.iterdir() if child.is_dir()})
        if not classes:
            raise UserError(f"{self.root} holds no class folders; for a folder of unlabelled images give --kind images")
        label = {name: index for index, name in enumerate(classes)}
        samples = []
        for name, folder in sorted(splits.items()):
            split = "test" if name in TEST_NAMES else "train"
            for path in sorted(folder.rglob("*")):
                parts = path.relative_to(folder).parts
                if len(parts) > 1 and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                    samples.append(Sample(str(path.relative_to(self.root)), label[parts[0]], split))
        return Listing(_some(samples, self.root), classes)

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()


@dataclass(frozen=True)
class ImagesSource:
    """A folder of images without labels, at any depth."""

    root: Path

    def listing(self) -> Listing:
        """Samples by relative path."""
        paths = [path for path in sorted(self.root.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
        return Listing(_some([Sample(str(path.relative_to(self.root)), None, "train") for path in paths], self.root), [])

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()


def _some(samples: list[Sample], root: Path) -> list[Sample]:
    if not samples:
        raise UserError(f"{root} holds no image files ({', '.join(sorted(IMAGE_SUFFIXES)[:6])}, ...)")
    return samples
