"""What the shards of an ingest follow: nothing, or a data set that grows - whose ids, classes and shards stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from pipelines.datasets.image_shards import Dataset, Growth, Split, read_sources
from pipelines.datasets.shard_files import read_footer_of
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.text import composed
from pipelines.ingest.left_out import THERE, Unreadable
from pipelines.ingest.sources.source import LeftOut, Listing
from pipelines.secrets import hidden
from pipelines.words import counted

PART = re.compile(r"part-(\d+)\.parquet$")


@dataclass(frozen=True)
class Base:
    """The data set that new shards follow.

    Attributes:
        dataset: as it is before them; an empty one where there is none yet.
        place: where the new images come from, in words.
    """

    dataset: Dataset
    place: str

    @classmethod
    def of(cls, dataset: Dataset, root: Location | None) -> Base:
        """The base of images from a folder; `None` for those that every node has."""
        return cls(dataset, hidden(str(root)) if root is not None else "bundled")

    @property
    def is_new(self) -> bool:
        """Whether there is none yet."""
        return not self.dataset.splits

    def check_form(self, footer: Mapping[str, Any]) -> None:
        """Refuse to store new images otherwise than those that are there.

        Args:
            footer: what the shards of the new images would say of how they are stored.

        Raises:
            UserError: with the options that they were stored by.
        """
        if self.is_new:
            return
        shard = next(shard for split in self.dataset.splits.values() for shard in split.shards)
        there = read_footer_of(self.dataset.location, shard)
        options = {
            "short_side": "--short-side {}", "quality": "--quality {}", "pixels": "--pixels", "background": '--background "{}"',
        }  # fmt: skip
        if any(there.get(key) != footer.get(key) for key in options):
            given = " ".join(option.format(there[key]) for key, option in options.items() if key in there)
            none = "neither --short-side nor --pixels"
            raise UserError(f"the images of {self.dataset.location} are stored with {given or none}; give the same")

    def first_id(self, split: str) -> int:
        """The id of the split's next image."""
        return self._before(split).ids

    def next_part(self, split: str) -> int:
        """The number of the split's next shard."""
        numbers = [int(found[1]) for shard in self._before(split).shards if (found := PART.search(shard.path))]
        return max(numbers, default=-1) + 1

    def _before(self, split: str) -> Split:
        return self.dataset.splits.get(split, Split(0, [], []))

    def counts(self, *splits: str) -> list[int] | None:
        """Images of each class in these splits, or of all where they have no labels; `None` where there is no data set yet."""
        if self.is_new:
            return None
        there = [split for name, split in self.dataset.splits.items() if name in splits]
        if not self.dataset.classes:
            return [sum(split.rows for split in there)]
        return [sum(counts) for counts in zip_longest(*(split.class_counts for split in there), fillvalue=0)]

    def new_in(self, listing: Listing) -> Listing:
        """What is new in a listing, with the classes that the data set has, and after them new ones.

        What the same folder gave before is left out.

        Raises:
            UserError: for labels on one side only, or paths that are there already from elsewhere.
        """
        if self.is_new:
            return listing
        classes, number = self._classes(listing)
        samples = [s if s.label is None else s._replace(label=number[s.label]) for s in listing.samples]
        if listing.val_is_test and "val" in self.dataset.splits:
            samples = [s._replace(split="val") if s.split == "test" else s for s in samples]
        source_of = self._sources()
        again = [sample for sample in samples if sample.key in source_of]
        if other := [sample.key for sample in again if source_of[sample.key] != self.place]:
            known = source_of[other[0]]
            advice = "give the folder above it, so that its name goes before the paths" if known else "ingest all of it anew"
            where = f"from {known}" if known else "from a place that an earlier version did not note"
            raise UserError(
                f"{len(other):,} paths of the source are those of images in {self.dataset.location} {where}, the first is "
                f"{other[0]}; {advice}"
            )
        samples = [sample for sample in samples if sample.key not in source_of]
        left_out = [*listing.left_out, *(LeftOut(sample.key, THERE) for sample in again)]
        new = classes[len(self.dataset.classes) :]
        notes = [f"{counted(len(new), 'new class')}: {', '.join(new[:5])}"] if new else []
        return replace(listing, samples=samples, classes=classes, left_out=left_out, notes=[*listing.notes, *notes])

    def _classes(self, listing: Listing) -> tuple[list[str], list[int]]:
        """All classes, the data set's first; and for each class of the listing its number among them.

        Raises:
            UserError: for labels on one side only, or names that are not single.
        """
        spelled = {composed(name): name for name in self.dataset.classes}  # an older ingest kept names as a Mac writes them
        old, new = self.dataset.classes, [spelled.get(composed(name), name) for name in listing.classes]
        if bool(old) != bool(new):
            has, lacks = ("new images", "those of the data set") if new else ("images of the data set", "new ones")
            raise UserError(f"{has} have labels, and {lacks} have none; --kind images takes images without labels")
        if new[: len(old)] == old or old[: len(new)] == new:  # as of the same source, whose names may not be single
            return max(old, new, key=len), list(range(len(new)))
        if len(set(old)) < len(old) or len(set(new)) < len(new):
            raise UserError("classes of the same name are on one side, so it cannot be said which is which; rename them")
        classes = list(dict.fromkeys([*old, *new]))
        number_of = {name: number for number, name in enumerate(classes)}
        return classes, [number_of[name] for name in new]

    def _sources(self) -> dict[str, str]:
        """Of each path in the data set the place that it came from; empty where that is not known."""
        found: dict[str, str] = {}
        for split in self.dataset.splits:
            for path, row in read_sources(self.dataset, split).items():
                grown = (growth for growth in self.dataset.history if row < growth.ids.get(split, 0))
                found[path] = next((growth.source for growth in grown), "")
        return found

    def mended(self, listing: Listing, bad: Sequence[Unreadable]) -> set[str]:
        """Paths of images that can be read, where no other source has such paths: one may have been unreadable before."""
        if any(growth.source != self.place for growth in self.dataset.history):
            return set()
        return {sample.key for sample in listing.samples} - {path for path, _ in bad}

    def grown(self, made: Dataset) -> Dataset:
        """The data set with what was made of new images."""
        splits = {}
        for name in sorted({*self.dataset.splits, *made.splits}):
            before, new = self._before(name), made.splits.get(name, Split(0, [], []))
            counts = [sum(pair) for pair in zip_longest(before.class_counts, new.class_counts, fillvalue=0)]
            counts += [0] * (len(made.classes) - len(counts)) if counts else []
            splits[name] = Split(before.ids + new.ids, before.shards + new.shards, counts)
        rows = {name: split.rows for name, split in made.splits.items()}
        whole = replace(made, splits=splits)
        ids = {name: split.ids for name, split in whole.splits.items()}
        class_counts = {name: split.class_counts for name, split in whole.splits.items()}
        growth = Growth(self.place, whole.fingerprint, rows, ids, len(whole.classes), class_counts)
        return replace(whole, history=(*self.dataset.history, growth))
