"""What the shards of an ingest follow: nothing, or a data set that grows - whose ids, classes and shards stay as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipelines.datasets.image_shards import Dataset, Growth, Split, read_sources
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.source import LeftOut, Listing
from pipelines.secrets import hidden

PART = re.compile(r"part-(\d+)\.parquet$")
THERE = "in the data set already"


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
            UserError: for nothing new, labels on one side only, or paths of another folder that are there already.
        """
        if self.dataset is None:
            return listing
        if bool(listing.classes) != bool(self.dataset.classes):
            has, lacks = ("the source", "data set") if listing.classes else ("the data set", "source")
            raise UserError(f"{has} has labels and the {lacks} {self.dataset.location} has none; --kind images takes no labels")
        classes = [*self.dataset.classes, *(name for name in listing.classes if name not in self.dataset.classes)]
        number = [classes.index(name) for name in listing.classes]
        samples = [s if s.label is None else s._replace(label=number[s.label]) for s in listing.samples]
        known = {path for split in self.dataset.splits for path in read_sources(self.dataset, split)}
        again = [sample for sample in samples if sample.key in known]
        if again and self.place not in {growth.source for growth in self.dataset.history}:
            raise UserError(
                f"{len(again):,} paths of the source are those of images in {self.dataset.location}, the first is "
                f"{again[0].key}; give the folder above it, so that its name goes before the paths"
            )
        samples = [sample for sample in samples if sample.key not in known]
        if not samples:
            raise UserError(f"all {len(again):,} images of the source are in {self.dataset.location} already: nothing to add")
        left_out = [*listing.left_out, *(LeftOut(sample.key, THERE) for sample in again)]
        new = [name for name in classes if name not in self.dataset.classes]
        notes = [f"{len(new)} new classes: {', '.join(new[:5])}"] if new else []
        return replace(listing, samples=samples, classes=classes, left_out=left_out, notes=[*listing.notes, *notes])

    def grown(self, made: Dataset) -> Dataset:
        """The data set with what was made of new images."""
        splits = {} if self.dataset is None else dict(self.dataset.splits)
        for name, split in made.splits.items():
            before = splits.get(name, Split(0, [], []))
            counts = [sum(pair) for pair in zip_longest(before.class_counts, split.class_counts, fillvalue=0)]
            splits[name] = Split(before.ids + split.ids, before.shards + split.shards, counts)
        rows = {name: split.rows for name, split in made.splits.items()}
        history = () if self.dataset is None else self.dataset.history
        bad = made.quarantined + (0 if self.dataset is None else self.dataset.quarantined)
        whole = replace(made, splits=dict(sorted(splits.items())), quarantined=bad)
        return replace(whole, history=(*history, Growth(self.place, whole.fingerprint, rows)))
