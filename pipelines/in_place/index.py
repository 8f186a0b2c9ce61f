"""`quorum ingest --in-place`: Parquet with images becomes a data set without a copy; ids and labels are written elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from pipelines.datasets.foreign_images import ForeignImages
from pipelines.datasets.image_shards import Dataset, Split
from pipelines.datasets.shard_files import write_index
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.files.parquet_reader import read_footer
from pipelines.in_place.class_mix import check_mixed
from pipelines.ingest.append import Base
from pipelines.ingest.containers.parquet_images import ParquetSource
from pipelines.ingest.ingest import check_apart, emptied
from pipelines.ingest.left_out import say, write_list
from pipelines.ingest.sources.source import Sample, Source
from pipelines.progress import in_bytes
from pipelines.secrets import hidden

READERS = 16
GROUP_BYTES = 64 << 20  # of images in a row group: a window reads several at once
COPY = "leave out --in-place, and the images are copied"


def index(source: Source, destination: str, name: str, *, overwrite: bool = False) -> Dataset:
    """Write ids, labels and a manifest; the images stay where they are, and are not looked at.

    Args:
        source: of Parquet.
        destination: an empty or absent folder.
        name: of the data set.
        overwrite: replace a data set that is there.

    Raises:
        UserError: for another source, row groups that are too large, or an order in which an epoch's windows would hold few
            classes.
    """
    if not isinstance(source, ParquetSource):
        raise UserError(f"--in-place is for Parquet files with a column of images, and {source.root} is none; {COPY}")
    place = str(source.root)
    if hidden(place) != place:
        raise UserError(f"{hidden(place)}: its keys would stand in the manifest; give them by the environment instead")
    location = Location.of(destination)
    check_apart(location, source.root)
    listing = source.listing()
    files = [(path, list(samples)) for path, samples in itertools.groupby(listing.samples, key=_file_of)]
    for path, samples in files:
        if len({sample.split for sample in samples}) > 1:
            raise UserError(f"{source.place(path)} has rows of several splits, and in place a file is of one; {COPY}")
    with ThreadPoolExecutor(READERS) as pool:
        images = list(pool.map(lambda file: _images(source, file[0], len(file[1])), files))
    train = [place for place, (_, samples) in enumerate(files) if samples[0].split == "train"]
    labels = [sample.label for place in train for sample in files[place][1]]
    check_mixed(_InTheirOrder([images[place] for place in train]), labels, COPY)
    with one_writer(location):
        emptied(location, overwrite)
        splits: dict[str, Split] = {}
        for (_, samples), foreign in zip(files, images, strict=True):
            split = splits.setdefault(samples[0].split, Split(0, [], []))
            splits[samples[0].split] = _with_file(split, location, samples, foreign, len(listing.classes))
        made = Dataset(location, name, listing.classes, splits, 0)
        base = Base.of(replace(made, splits={}), source.root)
        dataset = base.grown(made)
        write_list(location, [], listing.left_out)
        say(base.place, listing.left_out, listing.notes, location)
        dataset.save()
    return dataset


@dataclass(frozen=True)
class _InTheirOrder:
    """Files of row groups, as an epoch is made of them."""

    shards: Sequence[ForeignImages]

    @property
    def rows(self) -> int:
        return sum(sum(file.row_groups) for file in self.shards)


def _file_of(sample: Sample) -> str:
    return sample.key.rpartition(":")[0]


def _images(source: ParquetSource, path: str, rows: int) -> ForeignImages:
    place = source.place(path)
    if not _opens_again(place):
        raise UserError(f"{place} has a name that no address can hold as it is: rename it, or {COPY}")
    footer, digest = read_footer(place)
    groups = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    if sum(groups) != rows:
        raise UserError(f"{place} has {sum(groups)} rows, of which {rows} would be taken, or it is being written; {COPY}")
    if lacking := source.rows_without_bytes(path):
        raise UserError(f"{lacking:,} rows of {place} have a path in the place of an image, which in place are not read; {COPY}")
    largest = max(source.group_bytes(footer), default=0)
    if largest > GROUP_BYTES:
        raise UserError(
            f"{place} has row groups of {in_bytes(largest)}, and in place they may have {in_bytes(GROUP_BYTES)}, for several are "
            f"held at once; {COPY}"
        )
    return ForeignImages(str(place), source.columns.image, groups, place.size(), digest)


def _opens_again(place: Location) -> bool:
    """Whether a file is found by its address, by which every reader opens it."""
    try:
        return Location.of(str(place)).path == place.path
    except UserError:
        return False


def _with_file(split: Split, location: Location, samples: Sequence[Sample], images: ForeignImages, classes: int) -> Split:
    """The split with the rows of one more file, whose ids and labels are written."""
    path = f"{samples[0].split}/part-{len(split.shards):05d}.parquet"
    labels = [-1 if sample.label is None else sample.label for sample in samples]
    shard = write_index(location, path, split.ids, samples[0].split, labels, [sample.key for sample in samples], images)
    known = np.bincount([label for label in labels if label >= 0], minlength=classes)
    before = split.class_counts or [0] * classes
    return Split(split.ids + len(samples), [*split.shards, shard], [int(count) for count in before + known])
