"""Mini-ImageNet as Ravi and Larochelle published it: a folder of images and three lists."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.source import Listing, Sample, require_samples

LISTS = ("train.csv", "val.csv", "test.csv")
HEADER = ["filename", "label"]


def is_mini_imagenet(root: Location) -> bool:
    """Whether a folder holds `images/` and the list of training classes, which its first line tells from other tables."""
    path = root / LISTS[0]
    if not (root / "images").is_dir() or not path.is_file():
        return False
    with path.open() as file:
        return file.readline(100).strip() == ",".join(HEADER).encode()


@dataclass(frozen=True)
class MiniImageNetSource:
    """All 100 classes, each split within itself, as learning from few labels needs it.

    The lists hold 64, 16 and 20 different classes, for learning from few examples of unseen ones. Here every class gives the last
    sixth of its files in the order of their names to the test split: 100 of its 600 images.
    """

    root: Location

    def listing(self) -> Listing:
        """Samples by relative path, class by class."""
        names = _files_by_class(self.root)
        classes, samples = sorted(names), []
        for label, name in enumerate(classes):
            files = sorted(names[name])
            for index, file in enumerate(files):
                split = "test" if index >= len(files) - len(files) // 6 else "train"
                samples.append(Sample(f"images/{file}", label, split))
        return Listing(require_samples(samples, self.root / "images"), classes)

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()


def _files_by_class(root: Location) -> dict[str, list[str]]:
    if not (root / "images").is_dir():
        raise UserError(f"{root} holds no folder images/, where the files of {', '.join(LISTS)} lie; unpack it there")
    class_of: dict[str, str] = {}
    for name in LISTS:
        for line, file, label in _rows(root / name):
            if class_of.setdefault(file, label) != label:
                raise UserError(f"{root / name}, line {line}: {file!r} is of class {label!r}, but of {class_of[file]!r} before")
    files = defaultdict(list)
    for file, label in class_of.items():
        files[label].append(file)
    return files


def _rows(path: Location) -> list[tuple[int, str, str]]:
    """Line number, file name and class of each row of a list."""
    if not path.is_file():
        raise UserError(f"{path} is missing; put it back, for each of {', '.join(LISTS)} lists other classes")
    try:
        lines = path.read_bytes().decode().splitlines()
        rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no list of Mini-ImageNet ({error}); fetch it again") from error
    if not rows or rows[0][1] != HEADER:
        raise UserError(f"{path} does not begin with the line {','.join(HEADER)}; fetch it again")
    for number, row in rows[1:]:
        if len(row) != 2 or not all(row) or PurePosixPath(row[0]).name != row[0]:
            raise UserError(f"{path}, line {number}: {','.join(row)!r} is not the name of a file in images/ and its class")
    return [(number, file, label) for number, (file, label) in rows[1:]]
