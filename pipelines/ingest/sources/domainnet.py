"""DomainNet: the same 345 classes in up to six domains, each a folder or a zip, split by published lists."""

from __future__ import annotations

import functools
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipelines.datasets.encoded_image import is_image
from pipelines.errors import UserError, nearest
from pipelines.files.location import Location
from pipelines.files.storage_errors import as_damage
from pipelines.files.tree import files_below
from pipelines.ingest.sources.source import Listing, Sample, opening, require_samples

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
SPLITS = ("train", "test")
INDEX = re.compile("[0-9]{1,5}")  # a longer one would make as many class names


def is_domainnet(root: Location) -> bool:
    """Whether a folder holds a list or zip of a domain, or only folders of domains, which share a class."""
    if any(_lists(root, domain) for domain in DOMAINS):
        return True
    folders = [child for name in root.children() if name[0] != "." and (child := root / name).is_dir()]
    if not all(folder.name in DOMAINS for folder in folders):
        return False
    classes = [{name for name in folder.children() if (folder / name).is_dir()} for folder in folders]
    return any(_zip(root, domain).is_file() for domain in DOMAINS) or (len(classes) > 1 and bool(set.intersection(*classes)))


@dataclass(frozen=True)
class DomainNetSource:
    """Some domains of DomainNet.

    Files come from the domain's folder, or its zip where there is no folder. Labels and splits come from its lists; without any
    list all is the training split and labels number the sorted classes of these domains.
    """

    root: Location
    domains: tuple[str, ...]
    opened: str = field(default_factory=opening, compare=False)

    @classmethod
    def open(cls, root: Location, domains: Sequence[str] = ()) -> DomainNetSource:
        """The given domains, or all that are there.

        Raises:
            UserError: for none, one that is not there, or one whose lists are there but not its images.
        """
        there = [name for name in DOMAINS if _lists(root, name) or (root / name).is_dir() or _zip(root, name).is_file()]
        if not there:
            raise UserError(f"{root} holds no folder, zip or list of a domain ({', '.join(DOMAINS)}); give the folder that does")
        for name in domains:
            if name not in there:
                raise UserError(f"--domains: {root} has no domain {name!r}{nearest(name, there)}; it has {', '.join(there)}")
        for name in domains or there:
            if not (root / name).is_dir() and not _zip(root, name).is_file():
                raise UserError(
                    f"{root} has lists of {name} but neither {name}/ nor {name}.zip; fetch it, or leave it out of --domains"
                )
        return cls(root, tuple(sorted(set(domains or there))))

    def listing(self) -> Listing:
        """Samples as `domain/class/file`, domain by domain, each in the order of its lists."""
        listed = [domain for domain in self.domains if _lists(self.root, domain)]
        for domain in self.domains:
            if listed and domain not in listed:
                raise UserError(
                    f"{self.root} has lists of {listed[0]} but none of {domain}, so their labels would not agree; "
                    f"add {domain}_train.txt and {domain}_test.txt, or choose with --domains"
                )
            if not (self.root / domain).is_dir():
                _archive(_zip(self.root, domain), self.opened)
        return self._by_lists() if listed else self._by_names()

    def read(self, key: str) -> bytes:
        """The file as it is."""
        domain = key.split("/", maxsplit=1)[0]
        if (self.root / domain).is_dir():
            return (self.root / key).read_bytes()
        return _archive(_zip(self.root, domain), self.opened).read(key)

    def _by_lists(self) -> Listing:
        samples, classes = [], _Classes()
        for domain in self.domains:
            for split, path in _lists(self.root, domain).items():
                for number, line in enumerate(_lines(path), 1):
                    key, label = _parse(line, domain, f"{path}, line {number}")
                    classes.add(PurePosixPath(key).parts[1], label, f"{path}, line {number}")
                    samples.append(Sample(key, label, split))
        return Listing(require_samples(samples, self.root), classes.names())

    def _by_names(self) -> Listing:
        keys = sorted(key for domain in self.domains for key in self._keys(domain))
        classes = sorted({key.split("/")[1] for key in keys})
        label = {name: index for index, name in enumerate(classes)}
        return Listing(require_samples([Sample(key, label[key.split("/")[1]], "train") for key in keys], self.root), classes)

    def _keys(self, domain: str) -> Iterator[str]:
        if (self.root / domain).is_dir():
            names = [f"{domain}/{found.path}" for found in files_below(self.root / domain) if not found.fault]
        else:
            names = _archive(_zip(self.root, domain), self.opened).namelist()
        for name in names:
            parts = name.split("/")
            if len(parts) == 3 and parts[0] == domain and is_image(name):
                yield name


@dataclass
class _Classes:
    """Class names and their indices, which must agree over all lists."""

    index_of: dict[str, int] = field(default_factory=dict)
    name_of: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, index: int, line: str) -> None:
        if self.index_of.setdefault(name, index) != index:
            raise UserError(f"{line}: class {name!r} has index {index}, but {self.index_of[name]} before; mend the list")
        if self.name_of.setdefault(index, name) != name:
            raise UserError(f"{line}: index {index} is class {name!r}, but {self.name_of[index]!r} before; mend the list")

    def names(self) -> list[str]:
        """Names by index; one that no list mentions goes by its number."""
        return [self.name_of.get(index, str(index)) for index in range(max(self.name_of) + 1)]


def _lists(root: Location, domain: str) -> dict[str, Location]:
    paths = {split: root / f"{domain}_{split}.txt" for split in SPLITS}
    return {split: path for split, path in paths.items() if path.is_file()}


def _zip(root: Location, domain: str) -> Location:
    return root / f"{domain}.zip"


@functools.lru_cache(maxsize=len(DOMAINS))  # opening one reads its directory of up to 175,000 entries
def _archive(path: Location, opened: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path.open())
    except (zipfile.BadZipFile, OSError) as error:
        raise as_damage(error, f"{path} is cut short or damaged") from error


def _lines(path: Location) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no list of DomainNet ({error}); fetch it again") from error


def _parse(line: str, domain: str, where: str) -> tuple[str, int]:
    """Key and label of a line such as `clipart/zebra/clipart_344_000001.jpg 344`."""
    key, _, label = line.strip().rpartition(" ")
    parts = key.split("/")
    if len(parts) != 3 or parts[0] != domain or ".." in parts or not INDEX.fullmatch(label):
        raise UserError(f"{where}: {line!r} is not {domain}/CLASS/FILE and the class's index; mend the list")
    return key, int(label)
