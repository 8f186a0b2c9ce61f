"""What the shards of an ingest follow: nothing, or a data set that grows - whose ids, classes and shards stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipelines.datasets.image_shards import Dataset, Growth, Split, read_sources
from pipelines.datasets.shard_files import read_footer_of
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.left_out import THERE
from pipelines.ingest.sources.source import LeftOut, Listing
from pipelines.secrets import hidden

PART = re.compile(r"part-(\d+)\.parquet$")


@dataclass(frozen=True)
class Base:
    """A data set that may be there.

    Attributes:
        dataset: `None` for a new one.
        place: where the new images come from, in words.
    """

    dataset: Dataset | None
    place: str

    @classmethod
    def of(cls, dataset: Dataset | None, root: Location | None) -> Base:
        """The base of images from a folder; `None` for those that every node has."""
        return cls(dataset, hidden(str(root)) if root is not None else "bundled")

    def check_form(self, footer: Mapping[str, int]) -> None:
        """Refuse to store new images otherwise than those that are there.

        Args:
            footer: what the shards of the new images would say of how they are stored.

        Raises:
            UserError: with the options that they were stored by.
        """
        if self.dataset is None:
            return
        shard = next(shard for split in self.dataset.splits.values() for shard in split.shards)
        there = read_footer_of(self.dataset.location, shard)
        for key in ("short_side", "quality", "pixels"):
            if there.get(key) != footer.get(key):
                options = [f"--{name.replace('_', '-')} {there[name]}" for name in ("short_side", "quality") if name in there]
                given = " ".join([*options, *(["--pixels"] if "pixels" in there else [])]) or "neither --short-side nor --pixels"
                raise UserError(f"the images of {self.dataset.location} are stored with {given}; give the same")

    def first_id(self, split: str) -> int:
        """The id of the split's next image."""
        return self.dataset.splits[split].ids if self.dataset is not None and split in self.dataset.splits else 0

    def next_part(self, split: str) -> int:
        """The number of the split's next shard."""
        if self.dataset is None or split not in self.dataset.splits:
            return 0
        numbers = [int(found[1]) for shard in self.dataset.splits[split].shards if (found := PART.search(shard.path))]
        return max(numbers, default=-1) + 1

    def new_in(self, listing: Listing) -> Listing:
        """What is new in a listing, with the classes that the data set has, and after them new ones.

        What the same folder gave before is left out.

        Raises:
            UserError: for labels on one side only, or paths that are there already from elsewhere.
        """
        if self.dataset is None:
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
        new = [name for name in classes if name not in self.dataset.classes]
        notes = [f"{len(new)} new classes: {', '.join(new[:5])}"] if new else []
        return replace(listing, samples=samples, classes=classes, left_out=left_out, notes=[*listing.notes, *notes])

    def _classes(self, listing: Listing) -> tuple[list[str], list[int]]:
        """All classes, the data set's first; and for each class of the listing its number among them.

        Raises:
            UserError: for labels on one side only, or names that are not single.
        """
        old, new = self.dataset.classes if self.dataset is not None else [], listing.classes
        if bool(old) != bool(new):
            has, lacks = (
                ("new images have", "those of the data set have") if new else ("images of the data set have", "new ones have")
            )
            raise UserError(f"{has} labels, and {lacks} none; --kind images takes images without labels")
        if new[: len(old)] == old or old[: len(new)] == new:  # as of the same source, whose names may not be single
            return max(old, new, key=len), list(range(len(new)))
        if len(set(old)) < len(old) or len(set(new)) < len(new):
            raise UserError("classes of the same name are on one side, so it cannot be said which is which; rename them")
        classes = [*old, *(name for name in new if name not in old)]
        return classes, [classes.index(name) for name in new]

    def _sources(self) -> dict[str, str]:
        """Of each path in the data set the place that it came from; empty where that is not known."""
        found: dict[str, str] = {}
        if self.dataset is None:
            return found
        for split in self.dataset.splits:
            for path, row in read_sources(self.dataset, split).items():
                grown = (growth for growth in self.dataset.history if row < growth.ids.get(split, 0))
                found[path] = next((growth.source for growth in grown), "")
        return found

    def grown(self, made: Dataset) -> Dataset:
        """The data set with what was made of new images."""
        splits = {} if self.dataset is None else dict(self.dataset.splits)
        for name, split in made.splits.items():
            before = splits.get(name, Split(0, [], []))
            counts = [sum(pair) for pair in zip_longest(before.class_counts, split.class_counts, fillvalue=0)]
            splits[name] = Split(before.ids + split.ids, before.shards + split.shards, counts)
        rows = {name: split.rows for name, split in made.splits.items()}
        history = () if self.dataset is None else self.dataset.history
        whole = replace(made, splits=dict(sorted(splits.items())))
        ids = {name: split.ids for name, split in whole.splits.items()}
        class_counts = {name: split.class_counts for name, split in whole.splits.items()}
        growth = Growth(self.place, whole.fingerprint, rows, ids, len(whole.classes), class_counts)
        return replace(whole, history=(*history, growth))
