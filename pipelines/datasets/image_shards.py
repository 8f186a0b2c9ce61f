"""The manifest that makes a folder of shards a data set with stable instance ids, and what is read of its rows.

Ids are unique within a split and lie in 0..ids-1. The manifest is written last: a folder without it, or with a shard that is not
as the manifest says, does not read as a data set.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets.foreign_images import ForeignImages
from pipelines.datasets.shard_files import INGEST_AGAIN, SHARDS_FORMAT, Shard, read_group, shard_file
from pipelines.errors import UserError, nearest
from pipelines.files.documents import damage_in_words, read_document, write_document
from pipelines.files.location import Location

SHARDS_MANIFEST = "quorum.json"
READERS = 16  # threads that look at the files of others


@dataclass(frozen=True)
class Split:
    """The shards of one split.

    `ids`: ids lie below it; a quarantined image leaves a hole, so that mending it moves no other id.
    """

    ids: int
    shards: list[Shard]
    class_counts: list[int]

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def is_checked(self) -> bool:
        """Whether every image was decoded once; those that lie elsewhere were not."""
        return all(shard.images is None for shard in self.shards)

    @property
    def labelled(self) -> bool:
        """Whether every row has a label."""
        return sum(self.class_counts) == self.rows


class Growth(NamedTuple):
    """An ingest that a data set comes from.

    Attributes:
        source: its place.
        fingerprint: from then on.
        rows: that each split got.
        ids: below which the ids of each split lie from then on.
        classes: how many there are from then on.
        class_counts: of each split from then on.
    """

    source: str
    fingerprint: str
    rows: dict[str, int]
    ids: dict[str, int]
    classes: int
    class_counts: dict[str, list[int]]


@dataclass(frozen=True)
class Dataset:
    """A folder of shards as its manifest describes it.

    Attributes:
        location: the folder.
        name: for logs.
        classes: their names, by label.
        splits: by name.
        quarantined: images that could not be read.
        history: the ingests that it comes from, the first one first.
    """

    location: Location
    name: str
    classes: list[str]
    splits: dict[str, Split]
    quarantined: int
    history: tuple[Growth, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash over every shard's content: equal fingerprints mean equal data."""
        content = json.dumps({name: _as_values(split) for name, split in self.splits.items()}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def has_rows_of(self, fingerprint: str) -> bool:
        """Whether ids of a data set with that fingerprint are those of the same images here: it is this one, or grew to it."""
        return fingerprint == self.fingerprint or fingerprint in [growth.fingerprint for growth in self.history]

    def as_of(self, fingerprint: str) -> Dataset:
        """The data set as it was when it had a fingerprint; itself where it never had that one."""
        fingerprints = [growth.fingerprint for growth in self.history]
        if fingerprint == self.fingerprint or fingerprint not in fingerprints:
            return self
        history = self.history[: fingerprints.index(fingerprint) + 1]
        last, splits = history[-1], {}
        for name, ids in last.ids.items():
            rows, shards = sum(growth.rows.get(name, 0) for growth in history), list[Shard]()
            for shard in self.splits[name].shards:
                if rows > 0:
                    shards.append(shard)
                    rows -= shard.rows
            splits[name] = Split(ids, shards, last.class_counts[name])
        return replace(self, classes=self.classes[: last.classes], splits=splits, history=history)

    def split(self, name: str) -> Split:
        """One split.

        Raises:
            UserError: when there is none of that name.
        """
        if name not in self.splits:
            raise UserError(f"{self.location} has no split {name!r}{nearest(name, self.splits)}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def save(self) -> None:
        """Write the manifest; from now on the folder reads as a data set."""
        content = _as_values(self) | {"fingerprint": self.fingerprint, "history": [growth._asdict() for growth in self.history]}
        del content["location"]
        content["layouts"] = {shard.path: shard.layout for split in self.splits.values() for shard in split.shards}
        write_document(self.location / SHARDS_MANIFEST, content, SHARDS_FORMAT)

    @classmethod
    def open(cls, place: str) -> Dataset:
        """Read and check a data set.

        Raises:
            UserError: for no manifest, another format, or shards that are missing or of another size.
        """
        dataset = cls.described(place)
        with damage_in_words(dataset.location / SHARDS_MANIFEST, INGEST_AGAIN):
            dataset._check_files()
        return dataset

    @classmethod
    def described(cls, place: str) -> Dataset:
        """What the manifest says, whether the shards are there or not.

        Raises:
            UserError: for no manifest, one that was edited, or of another format.
        """
        location = Location.of(place)
        if not (location / SHARDS_MANIFEST).exists():
            raise UserError(
                f"{place} holds no {SHARDS_MANIFEST}: no data set, or its ingest did not finish; run quorum ingest SOURCE --to "
                f"FOLDER, where SOURCE holds the images, then give FOLDER"
            )
        manifest = location / SHARDS_MANIFEST
        content = read_document(manifest, SHARDS_FORMAT, INGEST_AGAIN)
        with damage_in_words(manifest, INGEST_AGAIN):
            layouts = content.get("layouts", {})  # apart from the shards, which are what the fingerprint is of
            splits = {
                name: Split(part["ids"], [_shard(shard, layouts) for shard in part["shards"]], part["class_counts"])
                for name, part in content["splits"].items()
            }
            history = tuple(Growth(**growth) for growth in content.get("history", []))
            dataset = cls(location, content["name"], content["classes"], splits, content["quarantined"], history)
            if content["fingerprint"] != dataset.fingerprint:
                raise UserError(f"{manifest} was edited: its fingerprint does not match its shards; {INGEST_AGAIN}")
        return dataset

    def _check_files(self) -> None:
        shards = [shard for split in self.splits.values() for shard in split.shards]
        found = self.location.filesystem.get_file_info([f"{self.location.path}/{shard.path}" for shard in shards])
        for shard, info in zip(shards, found, strict=True):
            if info.size != shard.bytes:
                raise UserError(
                    f"shard {self.location / shard.path} has {info.size or 0} bytes, its manifest says {shard.bytes}; "
                    "it is missing, cut short or of another data set: restore it or ingest the source again"
                )
        foreign = [shard.images for shard in shards if shard.images is not None]
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(ForeignImages.check, foreign))


def _as_values(described: Any) -> dict[str, Any]:
    """A description as plain values; a shard that has its images itself says nothing of others, and none its layout."""
    return asdict(
        described,
        dict_factory=lambda items: {key: value for key, value in items if (key, value) != ("images", None) and key != "layout"},
    )


def _shard(values: dict[str, Any], layouts: Mapping[str, str]) -> Shard:
    images = values.pop("images", None)
    if images is not None:
        images = ForeignImages(**images | {"row_groups": tuple(images["row_groups"])})
    return Shard(**values, images=images, layout=layouts.get(values["path"], ""))


def read_column(dataset: Dataset, split: str, column: str) -> np.ndarray:
    """One small column of a split as an array indexed by instance id; -1 where an id has no row or no value."""
    values = np.full(dataset.split(split).ids, -1, np.int64)
    for shard in dataset.split(split).shards:
        table = shard_file(dataset.location, shard).read(columns=["id", column])
        values[table["id"].to_numpy()] = table[column].fill_null(-1).to_numpy()
    return values


def read_sources(dataset: Dataset, split: str) -> dict[str, int]:
    """Instance id of each source path of a split."""
    rows: dict[str, int] = {}
    for shard in dataset.split(split).shards:
        table = shard_file(dataset.location, shard).read(columns=["id", "source"])
        rows.update(zip(table["source"].to_pylist(), table["id"].to_pylist(), strict=True))
    return rows


def read_images(dataset: Dataset, split: str, ids: Sequence[int]) -> dict[int, bytes]:
    """Encoded images of a few instances; reads only the row groups that hold them.

    Ids rise from shard to shard and from row group to row group, and footers say from which to which.
    """
    shards, found = [shard for shard in dataset.split(split).shards if shard.rows], dict[int, bytes]()
    firsts = functools.cache(lambda number: _first_ids(dataset.location, shards[number]))
    for number, wanted in _dealt(ids, len(shards), lambda shard: firsts(shard)[0]):
        for group, here in _dealt(wanted, len(firsts(number)), firsts(number).__getitem__):
            table = read_group(dataset.location, shards[number], group, ["id", "image"])
            table = table.filter(pc.is_in(table["id"], pa.array(here, pa.int64())))
            found.update(zip(table["id"].to_pylist(), table["image"].to_pylist(), strict=True))
    return found


def _first_ids(location: Location, shard: Shard) -> list[float]:
    """The first id from each row group of a shard on, from its footer; of empty ones at its end infinite."""
    metadata = shard_file(location, shard).metadata
    column, first, firsts = metadata.schema.names.index("id"), math.inf, list[float]()
    for number in reversed(range(metadata.num_row_groups)):
        group = metadata.row_group(number)
        first = group.column(column).statistics.min if group.num_rows else first
        firsts.append(first)
    return firsts[::-1]


def _dealt(ids: Iterable[int], parts: int, first_id: Callable[[int], float]) -> Iterator[tuple[int, list[int]]]:
    """Each of so many consecutive parts that may hold some of the ids, with those ids."""

    def part_of(wanted: float) -> int:
        return bisect_right(range(parts), wanted, key=first_id) - 1

    for part, here in itertools.groupby(sorted(set(ids)), key=part_of):
        if part >= 0:
            yield part, list(here)
