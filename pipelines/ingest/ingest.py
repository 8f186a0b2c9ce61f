"""`quorum ingest`: a source of images becomes Parquet shards, written in parallel on Ray.

The samples are shuffled once by a seed, so that a shard mixes the classes and the first rows are a random sample; an
instance's id is its place in that order. Files that are no readable image are quarantined with path and reason.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from pipelines.datasets.image_shards import READERS, SHARDS_MANIFEST, Dataset, Split
from pipelines.datasets.scored_split import SCORED
from pipelines.datasets.shard_files import is_shard
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, one_writer
from pipelines.ingest.append import Base
from pipelines.ingest.left_out import QUARANTINE, say, write_list
from pipelines.ingest.set_aside import set_aside, take_some
from pipelines.ingest.shard_writer import PartWriter, ShardPlan, Written, most_rows
from pipelines.ingest.sources.source import Listing, Source
from pipelines.ingest.stored_form import StoredForm
from pipelines.ingest.write_parts import write_parts
from pipelines.jobs.ray_cluster import connect
from pipelines.words import tell

SPLITS = ("train", *SCORED)
WRITTEN = re.compile(r"part-\d{5}\.parquet(\..*\.partial)?")


def ingest(
    source: Source,
    destination: str,
    *,
    name: str,
    seed: int = 0,
    holdout: float = 0.0,
    val: float = 0.0,
    take: int | None = None,
    rows_per_shard: int = 4096,
    form: StoredForm | None = None,
    max_bad: float = 0.01,
    overwrite: bool = False,
    append: bool = False,
    address: str | None = None,
) -> Dataset:
    """Write `source` as shards to `destination`, a local path or URI, and return the data set.

    Args:
        source: where the images are.
        destination: an empty or absent folder.
        name: of the data set, for the logs.
        seed: of the order of the rows.
        holdout: share of the training images, of each class, that become the test split, for sources without one.
        val: share of what is left of them that becomes the `val` split, on which checkpoints and settings are chosen.
        take: only so many of the training images; `None` for all.
        rows_per_shard: images per file, at most.
        form: in which images are stored; `None` keeps their bytes.
        max_bad: share of unreadable images at which the job stops; ten or fewer never stop it.
        overwrite: replace a data set that is there.
        append: add to the data set that is there: its ids stay, new ones follow.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for a destination in use, an empty split, or too many unreadable images.
    """
    _check_numbers(rows_per_shard, seed, max_bad, take)
    form, location = form or StoredForm(), Location.of(destination)
    if not append:
        check_apart(location, source.root)
    with one_writer(location):
        base = Base.of(Dataset.open(destination) if append else Dataset(location, name, [], {}, 0), source.root)
        base.check_form(form.footer)
        listing = base.new_in(source.listing())
        if append and not listing.samples:
            tell(f"all images of {base.place} are in {destination} already: nothing is added")
            return base.dataset
        listing = set_aside(listing, holdout, seed, "test", before=base.counts("train", "val", "test"))
        listing = take_some(set_aside(listing, val, seed, "val", before=base.counts("train", "val")), take, seed)
        if not append:
            _say_missing(listing)
        old = [] if append else _files_to_replace(location, overwrite)
        parts = _parts(listing, seed, most_rows(source, listing, form, rows_per_shard), base)
        connect(address)
        for file in old:  # only now: what may be refused has been
            file.delete_file()
        writer = PartWriter(source, listing.classes, location.make(), form)
        return _close(base, listing, write_parts(writer, parts, listing.pieces, listing.left_out, max_bad))


def _check_numbers(rows_per_shard: int, seed: int, max_bad: float, take: int | None) -> None:
    for option, value, valid, rule in (
        ("--rows_per_shard", rows_per_shard, rows_per_shard >= 1, "at least 1"),
        ("--seed", seed, seed >= 0, "0 or more"),
        ("--max_bad", max_bad, 0 <= max_bad <= 1, "within [0, 1]"),
        ("--take", take, take is None or take >= 1, "at least 1"),
    ):
        if not valid:
            raise UserError(f"{option} is {value}; it must be {rule}")


def _close(base: Base, listing: Listing, written: list[Written]) -> Dataset:
    """Write what is quarantined, and the manifest that makes the shards a data set."""
    location = base.dataset.location
    bad = [row for result in written for row in result.bad]
    added = base.is_new or any(result.shard for result in written)
    unreadable = write_list(location, bad, listing.left_out, added=added, mended=base.mended(listing, bad))
    say(base.place, listing.left_out, listing.notes, location)
    if not added:
        tell(f"none of the {len(bad)} new images can be read: nothing is added; see {location / QUARANTINE}")
        return base.dataset
    if dark := sum(result.dark for result in written):
        tell(
            f"{dark} images of 16 bits hold no value above 4,095, as cameras of 12 bits write them: they are shown nearly black; "
            "multiply their values by 16 and ingest again"
        )
    splits = {split: _split(split, listing, written) for split in sorted({result.split for result in written})}
    for split_name, split in splits.items():
        if not split.rows and base.is_new:
            raise UserError(f"no readable image in split {split_name!r}; see {location / QUARANTINE}")
    dataset = base.grown(replace(base.dataset, classes=listing.classes, splits=splits, quarantined=unreadable))
    dataset.save()
    return dataset


def check_apart(location: Location, source: Location | None) -> None:
    """Refuse a folder for a new data set that holds its source, or lies in it.

    Raises:
        UserError: naming both.
    """
    if source is not None and source.lies_in(location):
        raise UserError(f"the source {source} lies in {location}, which would be replaced; choose another folder for --to")
    if source is not None and location.lies_in(source):
        raise UserError(f"--to {location} lies in the source {source}, which is read whole; choose a folder beside it")


def emptied(location: Location, overwrite: bool) -> Location:
    """The folder of a new data set, without what an earlier ingest wrote there; the caller has its turn to write there.

    Raises:
        UserError: for a folder that holds anything else, or a data set that is not to be replaced.
    """
    for file in _files_to_replace(location, overwrite):
        file.delete_file()
    return location.make()


def _files_to_replace(location: Location, overwrite: bool) -> list[Location]:
    """What an earlier ingest wrote to the folder, the manifest first: what is half deleted must not read as whole.

    Raises:
        UserError: for a folder that holds anything else, or a data set that is not to be replaced.
    """
    if (location / SHARDS_MANIFEST).exists() and not overwrite:
        raise UserError(f"{location} already holds a data set; choose another --to or give --overwrite")
    ours = [location / name for name in (SHARDS_MANIFEST, QUARANTINE)]
    cut_off = [name for name in location.cut_off() if not name.startswith(NOTE)]  # which this process may be writing
    ours += [location / name for name in cut_off]
    for name in sorted({*location.children()} - {NOTE, *location.cut_off()}):
        inner = (location / name).children() if name in SPLITS else []
        if name not in (SHARDS_MANIFEST, QUARANTINE, *SPLITS) or not all(WRITTEN.fullmatch(file) for file in inner):
            raise UserError(f"{location} holds other files than an ingest's; choose an empty folder for --to")
        ours += [location / name / file for file in inner]
    shards = [file for file in ours if file.name.endswith(".parquet") and file.name != QUARANTINE]
    with ThreadPoolExecutor(READERS) as pool:
        if not all(pool.map(is_shard, shards)):
            raise UserError(f"{location} holds Parquet files that are no ingest's; choose an empty folder for --to")
    return ours


def _say_missing(listing: Listing) -> None:
    """Say of how many classes a split has no image, and whether there is none to score on."""
    if listing.classes and {sample.split for sample in listing.samples} == {"train"}:
        tell("there is no val and no test split, so nothing will be scored: --holdout 0.1 --val 0.1 sets images aside")
    if "train" not in {sample.split for sample in listing.samples}:
        tell("there is no train split: nothing can be trained on these images")
    for split in ("train", *SCORED):
        labels = {sample.label for sample in listing.samples if sample.split == split}
        lacking = len(listing.classes) - len(labels)
        if labels and lacking > 0:
            tell(f"{split} has no image of {lacking} of {len(listing.classes)} classes")


def _parts(listing: Listing, seed: int, rows_per_shard: int, base: Base) -> list[ShardPlan]:
    parts = []
    for split in sorted({sample.split for sample in listing.samples}):
        samples = [sample for sample in listing.samples if sample.split == split]
        order = np.random.default_rng(seed).permutation(len(samples))
        for index, start in enumerate(range(0, len(samples), rows_per_shard), base.next_part(split)):
            rows = [samples[i] for i in order[start : start + rows_per_shard]]
            parts.append(ShardPlan(split, index, base.first_id(split) + start, rows))
    return parts


def _split(name: str, listing: Listing, written: list[Written]) -> Split:
    mine = [result for result in written if result.split == name]
    labels = np.array([label for result in mine for label in result.labels if label >= 0], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(listing.classes)).tolist() if len(labels) else []
    ids = sum(len(result.labels) + len(result.bad) for result in mine)
    return Split(ids, [result.shard for result in mine if result.shard], counts)
