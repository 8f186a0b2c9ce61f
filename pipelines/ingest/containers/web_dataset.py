"""WebDataset: tars in which files of one name and several suffixes are a sample."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import IO, NamedTuple, cast

from pipelines.datasets.encoded_image import is_image
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.text import decoded
from pipelines.files.tree import files_below
from pipelines.ingest.containers.columns import LABELS
from pipelines.ingest.containers.labels import Value, classes_of
from pipelines.ingest.sources.image_folders import is_of_system
from pipelines.ingest.sources.source import LeftOut, Listing, Piece, Sample, counted, require_samples
from pipelines.ingest.sources.splits import settled, split_of_file
from pipelines.ingest.sources.tars import members

PACKED_TARS = (".tar.gz", ".tgz")
TARS = (".tar", *PACKED_TARS)
READERS = 16
OF_LABELS = ("cls", "json", "txt")
CLASS_NAMES = ("classnames.txt", "classes.txt", "labels.txt")
PLACE = re.compile(r"(?P<tar>.*?)//(?P<path>.*):(?P<offset>\d+):(?P<size>\d+)", re.DOTALL)  # in a tar that is not packed
WORDS = 4  # from which a text is a caption
FEW, OWN = 20, 0.5  # beyond so many samples, texts of which this share differ are captions and no classes


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


@dataclass
class TarSample:
    """The files of one name."""

    images: list[ImageMember] = field(default_factory=list)
    notes: dict[str, bytes] = field(default_factory=dict)


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
            contents = list(pool.map(lambda path: _contents(self._place(path)), tars))
        packed = any(path.lower().endswith(PACKED_TARS) for path in (*tars, self.root.name if not tars[0] else ""))
        keys, values, splits = list[str](), list[Value](), list[str]()
        usual = Counter(image.suffix for samples, _ in contents for sample in samples.values() for image in sample.images)
        for path, (samples, other) in zip(tars, contents, strict=True):
            left_out += [LeftOut(f"{path}/{name}", reason) for name, reason in other]
            for image, value in self._taken(path, samples, usual, left_out):
                keys.append(f"{path}:{image.row}" if packed else f"{path}//{image.path}:{image.offset}:{image.size}")
                values.append(value)
                splits.append(split_of_file(path) or "train")
        values, notes = _without_captions(values, [samples for samples, _ in contents], self.label)
        classes, labels = classes_of(values, self._class_names(), str(self.root))
        taken, useless = settled([Sample(*row) for row in zip(keys, labels, splits, strict=True)])
        rows = [sum(len(sample.images) for sample in samples.values()) for samples, _ in contents]
        pieces = [Piece(path, range(count)) for path, count in zip(tars, rows, strict=True)] if packed else []
        return Listing(require_samples(taken, self.root, left_out), classes, left_out + useless, notes, pieces)

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
        for member, file in _members(self._place(name)):
            if file is not None and _is_sample(member) and is_image(member.name):
                if row in wanted:
                    yield file.read()
                row += 1

    def _place(self, path: str) -> Location:
        return self.root / path if path else self.root

    def _tars(self) -> tuple[list[str], list[LeftOut]]:
        if self.root.is_file():
            return [""], []
        found = files_below(self.root)
        tars = [
            one.path for one in found if not one.fault and is_tar(one.path) and not any(map(is_of_system, one.path.split("/")))
        ]
        left = [LeftOut(one.path, one.fault or "no tars") for one in sorted({*found} - {(path, "") for path in tars})]
        left = [one for one in left if one.path not in CLASS_NAMES]
        if not tars:
            raise UserError(f"{self.root} holds no tar ({', '.join(TARS)}){': ' + counted(left) if left else ''}")
        if any(map(split_of_file, tars)):
            left += [LeftOut(path, "beside train, in no split") for path in tars if split_of_file(path) is None]
            tars = [path for path in tars if split_of_file(path)]
        return tars, left

    def _taken(
        self, tar: str, samples: dict[str, TarSample], usual: Counter[str], left_out: list[LeftOut]
    ) -> Iterator[tuple[ImageMember, Value]]:
        """The image of each sample of a tar - of several that with the most usual suffix - and its label's value."""
        for key, sample in samples.items():
            images = [one for one in sample.images if self.image is None or one.path.endswith(f".{self.image.lstrip('.')}")]
            images.sort(key=lambda one: (-usual[one.suffix], one.suffix.count("."), one.suffix))
            reason = "" if images else "samples without an image" + (f" of suffix {self.image}" if self.image else "")
            try:
                value = _label(sample.notes, self.label)
            except (ValueError, KeyError):
                reason = reason or "samples whose label cannot be read"
            if reason:
                left_out.append(LeftOut(f"{tar}/{key}", reason))
                continue
            left_out += [
                LeftOut(f"{tar}/{image.path}", "second images of a sample") for image in sample.images if image != images[0]
            ]
            yield images[0], value

    def _class_names(self) -> list[str] | None:
        """Of a list beside the tars."""
        folder = self.root.parent if self.root.is_file() else self.root
        for name in CLASS_NAMES:
            if (file := folder / name).is_file():
                return decoded(file.read_bytes()).rstrip().splitlines()
        return None


def _contents(place: Location) -> tuple[dict[str, TarSample], list[LeftOut]]:
    """The samples of a tar by what their names have in common, in the order of their first files; and what is no part of one."""
    samples: dict[str, TarSample] = {}
    other: list[LeftOut] = []
    row = 0
    for member, file in _members(place):
        if file is None:
            other.append(LeftOut(member.name, "links or devices in tars"))
            continue
        if not _is_sample(member):
            other.append(LeftOut(member.name, "hidden or of a system"))
            continue
        folder, _, name = member.name.removeprefix("./").rpartition("/")
        stem, _, suffix = name.partition(".")
        sample = samples.setdefault(f"{folder}/{stem}" if folder else stem, TarSample())
        if is_image(name):
            sample.images.append(ImageMember(member.name.removeprefix("./"), row, member.offset_data, member.size))
            row += 1
        elif suffix.lower().rpartition(".")[2] in OF_LABELS:
            sample.notes[suffix.lower()] = file.read()
    return samples, other


def _is_sample(member: tarfile.TarInfo) -> bool:
    """Whether a file belongs to a sample; those of systems do not."""
    return not any(is_of_system(part) for part in member.name.removeprefix("./").split("/"))


def _members(place: Location) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """The members of a tar, in their order, and what each holds; nothing of links and devices."""
    with place.open() as file, _unpacked(file, place) as plain:
        for tar, member in members(plain, str(place)):
            yield member, tar.extractfile(member) if member.isfile() else None


def _unpacked(file: IO[bytes], place: Location) -> AbstractContextManager[IO[bytes]]:
    is_packed = place.name.lower().endswith(PACKED_TARS)
    return cast("AbstractContextManager[IO[bytes]]", gzip.open(file)) if is_packed else nullcontext(file)


def _label(notes: dict[str, bytes], wanted: str | None) -> Value:
    """What the small files of a sample say of its class; `None` where they say nothing.

    Raises:
        ValueError, KeyError: for a label that is not there, or no label.
    """
    of_suffix = {suffix.rpartition(".")[2]: content for suffix, content in notes.items()}
    if wanted in of_suffix and wanted != "json":
        return of_suffix[wanted].decode("utf-8-sig").strip()
    if wanted is None and "cls" in of_suffix:
        return of_suffix["cls"].decode("utf-8-sig").strip()
    if "json" in of_suffix:
        content = json.loads(of_suffix["json"])
        if not isinstance(content, dict):
            value = content
        elif wanted is not None:
            value = content[wanted]
        else:
            value = next((content[name] for name in LABELS if name in content), None)
        if isinstance(value, list | dict):
            raise ValueError("a label is a number or a name")
        if isinstance(value, int | float | str):
            return value
    if wanted is not None:
        raise KeyError(wanted)
    return of_suffix["txt"].decode("utf-8-sig").strip() if "txt" in of_suffix else None


def _without_captions(
    values: list[Value], contents: Sequence[dict[str, TarSample]], wanted: str | None
) -> tuple[list[Value], list[str]]:
    """The values, and what is to be said: texts of `.txt` that nobody asked for may be captions, and no names of classes."""
    notes = [sample.notes for samples in contents for sample in samples.values() if sample.images]
    suffixes = {suffix.rpartition(".")[2] for one in notes for suffix in one}
    if not suffixes:
        return values, ["no sample has .cls, .json or .txt: images have no labels"]
    texts = [value for value in values if isinstance(value, str)]
    if wanted is not None or suffixes != {"txt"} or not texts:
        return values, []
    wordy = sum(len(text.split()) >= WORDS for text in texts) > OWN * len(texts)
    if wordy or (len(texts) > FEW and len(set(texts)) > OWN * len(texts)):
        return [None] * len(values), [
            "the texts of .txt are captions and no classes: images have no labels (--label txt takes them)"
        ]
    return values, []
