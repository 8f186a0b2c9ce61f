"""WebDataset: tars in which files of one name and several suffixes are a sample."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import IO, NamedTuple, cast

from pipelines.datasets.encoded_image import is_image
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.text import decoded
from pipelines.files.tree import files_below
from pipelines.ingest.containers.labels import classes_of
from pipelines.ingest.containers.tar_labels import Note, TarLabel, label_of, may_be_label, without_captions
from pipelines.ingest.sources.image_folders import is_of_system
from pipelines.ingest.sources.source import LeftOut, Listing, Piece, Sample, counted
from pipelines.ingest.sources.splits import by_names, settled
from pipelines.ingest.sources.tars import content_of, members

PACKED_TARS = (".tar.gz", ".tgz")
TARS = (".tar", *PACKED_TARS)
READERS = 16
GZIP = b"\x1f\x8b"  # begins what is gzipped
CLASS_NAMES = ("classnames.txt", "classes.txt", "labels.txt")
PLACE = re.compile(r"(?P<tar>.*?)//(?P<path>.*):(?P<offset>\d+):(?P<size>\d+)", re.DOTALL)  # in a tar that is not packed


def is_tar(name: str) -> bool:
    """Whether a file's name ends as one of a tar does."""
    return name.lower().endswith(TARS)


class ImageMember(NamedTuple):
    """An image in a tar: its path, which of the tar's images it is, and where it lies in a tar that is not packed."""

    path: str
    row: int
    offset: int
    size: int

    @property
    def suffix(self) -> str:
        """All after the name that its sample's files share."""
        return self.path.rpartition("/")[2].partition(".")[2].lower()

    @property
    def beginning(self) -> str:
        """What comes before the last point of the suffix: `left` of `left.jpg`."""
        return self.suffix.rpartition(".")[0]


@dataclass
class TarSample:
    """The files of one name.

    Attributes:
        images: in their order.
        labels: of images whose suffixes begin so, or the reason why such an image has none.
    """

    images: list[ImageMember] = field(default_factory=list)
    labels: dict[str, TarLabel | str] = field(default_factory=dict)


@dataclass
class TarContent:
    """The samples of a tar by name, how many images it has, and what is left out of it."""

    samples: dict[str, TarSample] = field(default_factory=dict)
    images: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True)
class WebDatasetSource:
    """Tars in a folder or below it, perhaps gzipped; splits by their names (`train-000000.tar`, `val/0.tar`).

    Attributes:
        root: a folder, or a tar.
        image: suffix of the images, where samples have several; `None` for the first.
        label: suffix of the labels, or field of `.json`; `None` for `.cls`, else a usual field of `.json`, else `.txt`.
    """

    root: Location
    image: str | None = None
    label: str | None = None

    def listing(self) -> Listing:
        """Samples as `tar//path:offset:size`, or of packed tars as `tar:row`, in the order of the tars."""
        tars, left_out = self._tars()
        with ThreadPoolExecutor(READERS) as pool:
            contents = list(pool.map(self._contents, tars))
        keys, labels, splits = list[str](), list[TarLabel](), list[str]()
        pieces = [
            Piece(path, range(content.images), sum(image.size for sample in content.samples.values() for image in sample.images))
            for path, content in zip(tars, contents, strict=True)
            if self._is_packed(path)
        ]
        usual = Counter(image.suffix for content in contents for sample in content.samples.values() for image in sample.images)
        for path, content in zip(tars, contents, strict=True):
            left_out += [LeftOut(f"{path}/{name}", reason) for name, reason in content.left_out]
            for image, label in self._taken(path, content.samples, usual, left_out):
                place = f"{path}//{image.path}:{image.offset}:{image.size}"
                keys.append(f"{path}:{image.row}" if self._is_packed(path) else place)
                labels.append(label)
                splits.append(tars[path])
        values, notes = without_captions(labels, self._wanted)
        folders = sorted({sample.rpartition("/")[0] for content in contents for sample in content.samples})
        if len(folders) > 1 and all(value is None for value in values):
            notes += [f"folders in the tars, such as {folders[-1]}/, count for nothing: if they are the classes, unpack the tars"]
        classes, numbers = classes_of(values, self._class_names(), str(self.root))
        samples = [Sample(*row) for row in zip(keys, numbers, splits, strict=True)]
        return settled(samples, self.root, Listing([], classes, left_out, notes, pieces))

    def _is_packed(self, path: str) -> bool:
        return self._place(path).name.lower().endswith(PACKED_TARS)

    def read(self, key: str) -> bytes:
        """The file as it is in its tar."""
        place = PLACE.fullmatch(key)
        if place is None:
            path, _, row = key.rpartition(":")
            return next(self.read_rows(path, [int(row)]))
        tar, size = self._place(place["tar"]), int(place["size"])
        image = tar.read_part(int(place["offset"]), size)
        if len(image) != size:
            raise EOFError(f"{tar} ends after {len(image)} of {size} bytes of {place['path']}")
        return image

    def read_rows(self, name: str, rows: Sequence[int]) -> Iterator[bytes]:
        """Some images of a tar, by their numbers in it; it is read from its start."""
        wanted, row = set(rows), 0
        for member, read in _members(self._place(name)):
            if read is not None and _is_sample(member) and is_image(member.name):
                if row in wanted:
                    yield read()
                row += 1

    def _place(self, path: str) -> Location:
        return self.root / path

    def _tars(self) -> tuple[dict[str, str], list[LeftOut]]:
        """The split of each tar, and what is left out."""
        if self.root.is_file():
            return {"": "train"}, []
        found = files_below(self.root)
        tars = [
            one.path for one in found if not one.fault and is_tar(one.path) and not any(map(is_of_system, one.path.split("/")))
        ]
        known = {*tars, *CLASS_NAMES}
        left = [LeftOut(one.path, one.fault or "no tars") for one in found if one.path not in known]
        if not tars:
            raise UserError(f"{self.root} holds no tar ({', '.join(TARS)}){': ' + counted(left) if left else ''}")
        split_of, beside = by_names(tars)
        return split_of, left + beside

    def _taken(
        self, tar: str, samples: dict[str, TarSample], usual: Counter[str], left_out: list[LeftOut]
    ) -> Iterator[tuple[ImageMember, TarLabel]]:
        """The image of each sample of a tar - of several that with the most usual suffix - and its label."""
        for key, sample in samples.items():
            images = [one for one in sample.images if self.image is None or one.path.endswith(f".{self.image.lstrip('.')}")]
            images.sort(key=lambda one: (-usual[one.suffix], one.suffix.count("."), one.suffix))
            if not images:
                reason = "samples without an image" + (f" of suffix {self.image}" if self.image else "")
                left_out.append(LeftOut(f"{tar}/{key}", reason))
            elif isinstance(label := sample.labels[images[0].beginning], str):
                left_out.append(LeftOut(f"{tar}/{key}", label))
            else:
                left_out += [LeftOut(f"{tar}/{one.path}", "second images of a sample") for one in images[1:]]
                yield images[0], label

    def _contents(self, path: str) -> TarContent:
        """The samples of a tar by what their names have in common, in the order of their first files."""
        content, notes, wanted = TarContent(), defaultdict[str, list[Note]](list), self._wanted
        for member, read in _members(self._place(path)):
            name = member.name.removeprefix("./")
            if read is None or not _is_sample(member):
                content.left_out.append(
                    LeftOut(member.name, "links or devices in tars" if read is None else "hidden or of a system")
                )
                continue
            folder, _, file_name = name.rpartition("/")
            stem, _, suffix = file_name.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            sample = content.samples.setdefault(key, TarSample())
            if is_image(name):
                sample.images.append(ImageMember(name, content.images, member.offset_data, member.size))
                content.images += 1
            elif may_be_label(suffix.lower(), wanted):
                notes[key].append(Note(suffix.lower(), read()))
        for key, sample in content.samples.items():
            sample.labels = {own: label_of(notes[key], wanted, own) for own in {image.beginning for image in sample.images}}
        return content

    @property
    def _wanted(self) -> str | None:
        """The label as it was asked for, without the point that a suffix may be written with."""
        return self.label.removeprefix(".") if self.label else None

    def _class_names(self) -> list[str] | None:
        """Of a list beside the tars."""
        folder = self.root.parent if self.root.is_file() else self.root
        for name in CLASS_NAMES:
            if (file := folder / name).is_file():
                return _lines(file)
        return None


def _lines(file: Location) -> list[str]:
    try:
        text = decoded(file.read_bytes()).rstrip()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    if not text:
        raise UserError(f"{file} is empty; write the name of a class in each line, or remove it")
    return re.split("\r\n|\r|\n", text)


def _is_sample(member: tarfile.TarInfo) -> bool:
    """Whether a file belongs to a sample; those of systems do not."""
    return not any(is_of_system(part) for part in member.name.removeprefix("./").split("/"))


def _members(place: Location) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes] | None]]:
    """The members of a tar, in their order, and what reads each; nothing of links and devices."""
    with place.open() as file, _unpacked(file, place) as plain:
        for tar, member in members(plain, str(place)):
            yield member, partial(content_of, tar, member, str(place)) if member.isfile() else None


def _unpacked(file: io.BufferedReader, place: Location) -> AbstractContextManager[IO[bytes]]:
    is_packed = place.name.lower().endswith(PACKED_TARS)
    if not is_packed and file.peek(len(GZIP)).startswith(GZIP):
        raise UserError(f"{place} is gzipped: let its name end in .tar.gz")
    return cast("AbstractContextManager[IO[bytes]]", gzip.open(file)) if is_packed else nullcontext(file)
