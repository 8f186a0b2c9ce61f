"""CIFAR-10 and CIFAR-100 as their authors publish them for Python: pickles of pixels, unpacked or still in their tar.gz."""

from __future__ import annotations

import functools
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from pickle import UnpicklingError

import numpy as np

from pipelines.datasets.encoded_image import encode_pixels
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import as_damage
from pipelines.ingest.sources import safe_pickle as array_pickle
from pipelines.ingest.sources.source import Listing, Sample, opening


@dataclass(frozen=True)
class _Version:
    """How one of the two data sets is stored."""

    folder: str
    archive: str
    meta: str
    class_names: bytes
    labels: bytes
    splits: dict[str, str]

    def place(self, root: Location) -> Location | None:
        """Where it lies in `root`: there itself, in its folder, or in its archive."""
        files = [root / name for name in (self.meta, *self.splits)]
        if root.name in (self.folder, self.archive) or all(file.is_file() for file in files):
            return root
        return next((root / name for name in (self.folder, self.archive) if (root / name).exists()), None)


VERSIONS = (
    _Version(
        "cifar-10-batches-py", "cifar-10-python.tar.gz", "batches.meta", b"label_names", b"labels",
        {f"data_batch_{i}": "train" for i in range(1, 6)} | {"test_batch": "test"},
    ),
    _Version(
        "cifar-100-python", "cifar-100-python.tar.gz", "meta", b"fine_label_names", b"fine_labels",
        {"train": "train", "test": "test"},
    ),
)  # fmt: skip


def is_cifar(root: Location) -> bool:
    """Whether a place is, or a folder holds, one of the two data sets."""
    return any(version.place(root) for version in VERSIONS)


@dataclass(frozen=True)
class CifarSource:
    """One of the two data sets, with the fine labels of CIFAR-100.

    `root`: its folder or tar.gz, or the folder that this lies in.
    """

    root: Location
    opened: str = field(default_factory=opening, compare=False)

    def listing(self) -> Listing:
        """Samples as `file:index`, in the order of the files."""
        content = _load(self.root, self.opened)
        samples = [
            Sample(f"{name}:{i}", label, split)
            for name, split in content.version.splits.items()
            for i, label in enumerate(content.labels[name])
        ]
        return Listing(samples, content.classes)

    def read(self, key: str) -> bytes:
        """Pixels of one image; stored are its red, green and blue planes."""
        name, index = key.split(":")
        planes = _load(self.root, self.opened).pixels[name][int(index)].reshape(3, 32, 32)
        return encode_pixels(np.ascontiguousarray(planes.transpose(1, 2, 0)))


@dataclass(frozen=True)
class _Content:
    version: _Version
    classes: list[str]
    pixels: dict[str, np.ndarray]
    labels: dict[str, list[int]]


@functools.lru_cache(maxsize=1)  # all of it, 180 MB: an archive has no order but from its start
def _load(root: Location, opened: str) -> _Content:
    version, place = _find(root)
    needed = (version.meta, *version.splits)
    files = dict(_unpacked(place, needed) if place.is_dir() else _packed(place, version.folder, needed))
    for name in needed:
        if name not in files:
            raise UserError(f"{place} holds no {name}; unpack or fetch {version.archive} again")
    classes = _class_names(files[version.meta].get(version.class_names), f"{place}/{version.meta}")
    content = _Content(version, classes, {}, {})
    for name in version.splits:
        labels, pixels = files[name].get(version.labels), files[name].get(b"data")
        content.pixels[name], content.labels[name] = _checked(pixels, labels, len(classes), f"{place}/{name}")
    return content


def _find(root: Location) -> tuple[_Version, Location]:
    """The version and the folder or archive that holds it."""
    if root.is_file() and root.name not in [version.archive for version in VERSIONS]:
        return _version_inside(root), root
    found = [(version, place) for version in VERSIONS if (place := version.place(root))]
    if len(found) > 1:
        raise UserError(f"{root} holds both CIFAR-10 and CIFAR-100; give {found[0][1]} or {found[1][1]} as the source")
    if not found:
        folders = " or ".join(f"{version.folder}/ or {version.archive}" for version in VERSIONS)
        raise UserError(f"{root} holds no CIFAR for Python ({folders}); give the folder that one of these lies in")
    return found[0]


def _version_inside(archive: Location) -> _Version:
    for folder, _, _ in _members(archive):
        for version in VERSIONS:
            if folder == version.folder:
                return version
    raise UserError(
        f"{archive} holds neither {VERSIONS[0].folder}/ nor {VERSIONS[1].folder}/; give the tar.gz of CIFAR for Python"
    )


def _unpacked(folder: Location, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[bytes, object]]]:
    for name in needed:
        if (folder / name).is_file():
            yield name, _unpickle((folder / name).read_bytes(), f"{folder}/{name}")


def _packed(archive: Location, folder: str, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[bytes, object]]]:
    for inside, name, content in _members(archive):
        if inside == folder and name in needed:
            yield name, _unpickle(content, f"{archive}/{name}")


def _members(archive: Location) -> Iterator[tuple[str, str, bytes]]:
    """Folder, name and content of each file of a tar.gz."""
    try:
        with archive.open() as packed, tarfile.open(fileobj=packed, mode="r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if file := tar.extractfile(member):
                    yield path.parent.name, path.name, file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise as_damage(error, f"{archive} is cut short or damaged") from error


def _unpickle(content: bytes, file: str) -> dict[bytes, object]:
    try:
        return array_pickle.load(content)
    except UnpicklingError as error:
        raise UserError(f"{file} is no file of CIFAR, or damaged ({error}); fetch it again") from error


def _class_names(names: object, file: str) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise UserError(f"{file} holds no class names; fetch it again")
    return [name.decode("latin1") for name in names]


def _checked(pixels: object, labels: object, classes: int, file: str) -> tuple[np.ndarray, list[int]]:
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list) or pixels.shape != (len(labels), 3 * 32 * 32):
        raise UserError(f"{file} does not hold as many labels as images of 32 x 32 px; fetch it again")
    if not all(type(label) is int and 0 <= label < classes for label in labels):  # True is an int, too
        raise UserError(f"{file} holds labels outside 0..{classes - 1}, the classes that the meta file names; fetch it again")
    return pixels, labels
