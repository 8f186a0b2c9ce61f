"""ImageNet (ILSVRC2012) in its published tars, which are never unpacked: their headers say where in them each image lies."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import as_damage
from pipelines.ingest.sources.source import Listing, Sample, require_samples
from pipelines.ingest.sources.tars import members

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
META, TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
CLASSES = 1000  # ids of the kit beyond them are groups of classes


def is_imagenet(root: Location) -> bool:
    """Whether a folder holds the tar of the training images."""
    return (root / TRAIN).is_file()


@dataclass(frozen=True)
class ImageNetSource:
    """The training tar and, where it is there, the validation tar as test split; the latter needs the development kit.

    Classes are the sorted WordNet ids, as torchvision orders them: of the kit where it is needed, else of the training tar.
    """

    root: Location

    def listing(self) -> Listing:
        """Samples as `tar/path:offset:size`, by class and name; reads every header, which takes minutes."""
        if not (self.root / TRAIN).is_file():
            raise UserError(f"{self.root} holds no {TRAIN}; put it there, or give --kind folder for unpacked class folders")
        train = _train_images(self.root / TRAIN)
        classes = sorted({wnid for wnid, _ in train})
        test: list[tuple[str, str]] = []
        if (self.root / VAL).is_file():
            kit = _read_kit(self.root)
            if unknown := sorted(set(classes) - set(kit.wnids.values())):
                raise UserError(f"{self.root / TRAIN} holds class {unknown[0]}, which {DEVKIT} does not know; fetch both again")
            classes = sorted(kit.wnids.values())
            test = _val_images(self.root / VAL, kit)
        label = {wnid: index for index, wnid in enumerate(classes)}
        samples = [
            Sample(key, label[wnid], split)
            for split, images in (("train", train), ("test", test))
            for wnid, key in sorted(images)
        ]
        return Listing(require_samples(samples, self.root), classes)

    def read(self, key: str) -> bytes:
        """The file as it is in its tar."""
        name, offset, size = key.rsplit(":", 2)
        image = (self.root / name.split("/")[0]).read_part(int(offset), int(size))
        if len(image) != int(size):
            raise EOFError(f"{name} ends after {len(image)} of {size} bytes")
        return image


def _train_images(path: Location) -> list[tuple[str, str]]:
    """WordNet id and key of each image; the tar holds one tar per class."""
    images = []
    with path.open() as file:
        for tar, member in _files(file, str(path)):
            name, wnid = PurePosixPath(member.name).name, PurePosixPath(member.name).stem
            content = tar.extractfile(member)
            if content is None or name != f"{wnid}.tar":
                raise UserError(f"{path} holds {name}, but should hold one tar per class; fetch it again")
            for _, image in _files(content, f"{path}, {name}"):
                key = f"{path.name}/{name}/{PurePosixPath(image.name).name}:{member.offset_data + image.offset_data}:{image.size}"
                images.append((wnid, key))
    return images


def _val_images(path: Location, kit: _Kit) -> list[tuple[str, str]]:
    """WordNet id and key of each image; the number in its name is its line of the kit's list."""
    images = []
    with path.open() as file:
        for _, image in _files(file, str(path)):
            name = PurePosixPath(image.name)
            number = name.stem.rpartition("_")[2]
            if not number.isdecimal() or not 1 <= int(number) <= len(kit.truth):
                raise UserError(
                    f"{path} holds {name.name}, but {TRUTH} has lines 1 to {len(kit.truth)}; they do not belong together"
                )
            images.append((kit.wnids[kit.truth[int(number) - 1]], f"{path.name}/{name.name}:{image.offset_data}:{image.size}"))
    if len(images) != len(kit.truth):
        raise UserError(f"{path} holds {len(images)} images, and {TRUTH} has {len(kit.truth)} lines; fetch it again")
    return images


def _files(file: IO[bytes], where: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    return ((tar, member) for tar, member in members(file, where) if member.isfile())


@dataclass(frozen=True)
class _Kit:
    """Of the development kit: WordNet ids by class number, and the class number of each validation image."""

    wnids: dict[int, str]
    truth: list[int]


def _read_kit(root: Location) -> _Kit:
    files = _kit_files(root)
    for name in (META, TRUTH):
        if name not in files:
            raise UserError(f"{root / DEVKIT} holds no {name}; fetch {DEVKIT}.tar.gz again")
    wnids = _wnids(files[META], f"{root / DEVKIT}: {META}")
    truth = []
    for number, line in enumerate(files[TRUTH].decode("latin1").splitlines(), 1):
        if not line.strip().isdecimal() or int(line) not in wnids:
            raise UserError(
                f"{root / DEVKIT}: {TRUTH}, line {number}: {line!r} is no class number of {META}; fetch the kit again"
            )
        truth.append(int(line))
    return _Kit(wnids, truth)


def _kit_files(root: Location) -> dict[str, bytes]:
    """The kit's two files, from its folder or its archive."""
    folder, archive = root / DEVKIT, root / f"{DEVKIT}.tar.gz"
    if folder.is_dir():
        return {name: (folder / name).read_bytes() for name in (META, TRUTH) if (folder / name).is_file()}
    if not archive.is_file():
        raise UserError(f"{VAL} has no labels without {archive.name}; put that into {root}, or take {VAL} away")
    try:
        with archive.open() as packed, tarfile.open(fileobj=packed, mode="r:gz") as tar:
            wanted = {f"{DEVKIT}/{name}": name for name in (META, TRUTH)}
            names = {member: wanted[path] for member in tar if (path := member.name.removeprefix("./")) in wanted}
            return {name: file.read() for member, name in names.items() if (file := tar.extractfile(member))}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise as_damage(error, f"{archive} is cut short or damaged") from error


def _wnids(content: bytes, where: str) -> dict[int, str]:
    """WordNet ids by class number."""
    from scipy.io import loadmat  # only the driver lists, so that tasks need not load it

    try:
        synsets = loadmat(io.BytesIO(content), squeeze_me=True, variable_names=["synsets"])["synsets"]
        rows = [(int(row["ILSVRC2012_ID"]), str(row["WNID"])) for row in synsets]
    except Exception as error:  # whatever scipy's parser stumbles over in damaged bytes: zlib's errors, even UnboundLocalError
        raise UserError(f"{where} is damaged or not the kit's ({' '.join(str(error).split())}); fetch the kit again") from error
    return {number: wnid for number, wnid in rows if 1 <= number <= CLASSES}
