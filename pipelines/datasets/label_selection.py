"""`quorum labels`: which few instances training may see the labels of, by instance id.

A selection is a small JSON file beside the shards, so that the same shards serve every split. Drawn by class from a seed, a
larger selection of one seed contains the smaller ones. A list file may also bring labels that the shards do not have.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.datasets.image_shards import Dataset, read_column, read_images, read_sources
from pipelines.errors import UserError, nearest
from pipelines.files.documents import damage_in_words, read_document, write_document
from pipelines.files.location import Location

SELECTION_FORMAT = 1
MOST_DIGITS = 18  # of an id: below 2^63
MAKE_AGAIN = "make it again with quorum labels"


@dataclass(frozen=True)
class Selection:
    """Labelled instances of one split.

    Attributes:
        fingerprint: of the shards that the ids belong to.
        split: of the shards.
        classes: names, in the order of the labels.
        ids: instance ids, ascending.
        labels: of those instances.
        rule: how they were chosen, in words.
    """

    fingerprint: str
    split: str
    classes: list[str]
    ids: list[int]
    labels: list[int]
    rule: str

    @classmethod
    def open(cls, place: str) -> Selection:
        """Read a selection.

        Raises:
            UserError: for a file that is missing, damaged, or of another format.
        """
        location = Location.of(place)
        if not location.exists():
            raise UserError(f"labels {place} is not there; make it: quorum labels --data FOLDER --per-class 4 --to {place}")
        try:
            content = read_document(location, SELECTION_FORMAT, MAKE_AGAIN)
        except OSError as error:
            raise UserError(f"labels {place} cannot be read: {error}") from error
        with damage_in_words(location, MAKE_AGAIN):
            selection = cls(**content)
            selection._check_types()
        return selection

    def _check_types(self) -> None:
        for name, kind in (("ids", int), ("labels", int), ("classes", str)):
            if not all(isinstance(value, kind) for value in getattr(self, name)):
                raise TypeError(f"{name} are not all of type {kind.__name__}")

    def save(self, place: str) -> None:
        """Write the selection, whole or not at all.

        Raises:
            UserError: where it cannot be written.
        """
        location = Location.of(place)
        try:
            if location.exists():
                self._refuse_other(location)
            location.parent.make()
            write_document(location, asdict(self), SELECTION_FORMAT)
        except OSError as error:
            raise UserError(f"labels {place} cannot be written ({error}); choose another place: --to FILE") from error

    @staticmethod
    def _refuse_other(location: Location) -> None:
        try:
            read_document(location, SELECTION_FORMAT, MAKE_AGAIN)["rule"]
        except (UserError, KeyError) as error:
            raise UserError(f"{location} is there, and is no selection; choose another place: --to FILE") from error

    def check(self, dataset: Dataset, split: str, place: str) -> None:
        """Refuse a selection that does not belong to these shards, or leaves a class without a label.

        Raises:
            UserError: naming what does not fit.
        """
        if (self.fingerprint, self.split) != (dataset.fingerprint, split):
            raise UserError(
                f"labels {place} were chosen from split {self.split!r} of shards with fingerprint {self.fingerprint}, but "
                f"{dataset.location} has {dataset.fingerprint} and the run trains on {split!r}; run quorum labels on these shards"
            )
        if len(self.ids) != len(self.labels) or len(set(self.ids)) != len(self.ids):
            raise UserError(f"labels {place} hold {len(set(self.ids))} instances and {len(self.labels)} labels; make it again")
        if not all(0 <= label < len(self.classes) for label in self.labels):
            raise UserError(f"labels {place} hold a label outside its {len(self.classes)} classes; make it again")
        missing = sorted(set(range(len(self.classes))) - set(self.labels))
        if missing:
            raise UserError(f"labels {place} hold none of class {self.classes[missing[0]]!r}; every class needs at least one")


def choose(dataset: Dataset, split: str, count: Callable[[int], int], *, seed: int, rule: str) -> Selection:
    """A class-balanced selection: of a class with n rows, `count(n)` drawn by the seed.

    Raises:
        UserError: for shards without labels, or a class with too few rows.
    """
    if not dataset.split(split).labelled:
        raise UserError(f"split {split!r} of {dataset.location} has no labels to choose from; give a list file: --list FILE")
    truth = read_column(dataset, split, "label")
    chosen = []
    for label, name in enumerate(dataset.classes):
        rows = np.flatnonzero(truth == label)
        wanted = count(len(rows))
        if not 1 <= wanted <= len(rows):
            raise UserError(
                f"{wanted} labels of class {name!r} are asked for, split {split!r} has {len(rows)}; ask for 1 to {len(rows)}"
            )
        chosen += np.random.default_rng((seed, label)).permutation(rows)[:wanted].tolist()
    ids = sorted(chosen)
    return Selection(dataset.fingerprint, split, dataset.classes, ids, truth[ids].tolist(), rule)


def choose_per_class(dataset: Dataset, split: str, per_class: int, seed: int) -> Selection:
    """The same number of every class."""
    return choose(dataset, split, lambda _: per_class, seed=seed, rule=f"{per_class} per class, seed {seed}")


def choose_fraction(dataset: Dataset, split: str, fraction: float, seed: int) -> Selection:
    """A share of every class, at least one."""
    if not 0 < fraction <= 1:
        raise UserError(f"--fraction is {fraction}; it must lie in (0, 1]")
    return choose(
        dataset, split, lambda rows: max(1, round(fraction * rows)), seed=seed, rule=f"{fraction} of each class, seed {seed}"
    )


def choose_listed(dataset: Dataset, split: str, file: str) -> Selection:
    """What a list file names: a line holds an instance id or a source path, and if the shards lack it a comma and the class.

    Raises:
        UserError: naming file and line of what is not in the shards.
    """
    try:
        rows_of_file = csv.reader(Path(file).expanduser().read_text(encoding="utf-8-sig").splitlines(), skipinitialspace=True)
        lines = [(number, [cell.strip() for cell in line]) for number, line in enumerate(rows_of_file, start=1) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"list {file} cannot be read: {error}") from error
    if not lines:
        raise UserError(f"list {file} is empty; a line holds an instance id or a source path")
    truth, sources = read_column(dataset, split, "label"), read_sources(dataset, split)
    ids = set(sources.values())
    classes = dataset.classes or sorted({line[1] for _, line in lines if len(line) > 1})
    chosen: dict[int, int] = {}
    for number, line in lines:
        where = f"list {file}, line {number}"
        row = _row_of(line[0], ids, sources, where)
        label = _label_of(line[1], classes, where) if len(line) > 1 else int(truth[row])
        if label < 0:
            raise UserError(f"{where}: {line[0]!r} has no label in the shards; add a comma and its class")
        if chosen.setdefault(row, label) != label:
            raise UserError(f"{where}: {line[0]!r} is listed twice, with two classes")
    rows = sorted(chosen)
    return Selection(dataset.fingerprint, split, classes, rows, [chosen[row] for row in rows], f"list {Path(file).name}")


def _row_of(key: str, ids: set[int], sources: dict[str, int], where: str) -> int:
    """The instance that a key names; a number is an instance id, whatever the sources are called."""
    if key.isdecimal() and len(key) <= MOST_DIGITS and int(key) in ids:
        return int(key)
    if key in sources:
        return sources[key]
    raise UserError(f"{where}: {key!r} is neither an instance id nor a source path of the shards{nearest(key, sources)}")


def _label_of(name: str, classes: list[str], where: str) -> int:
    if name not in classes:
        raise UserError(f"{where}: the shards have no class {name!r}{nearest(name, classes)}")
    return classes.index(name)


def choose_from(
    dataset: Dataset, split: str, *, per_class: int | None, fraction: float | None, listed: str | None, seed: int
) -> tuple[str, Selection]:
    """The selection by the one rule that is given, and a short name of it for a file.

    Raises:
        UserError: unless exactly one rule is given, or when it asks for what is not there.
    """
    if sum(rule is not None for rule in (per_class, fraction, listed)) != 1:
        raise UserError("give exactly one of --per-class, --fraction and --list")
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must be 0 or more")
    if per_class is not None:
        return f"per-class-{per_class}-seed-{seed}", choose_per_class(dataset, split, per_class, seed)
    if fraction is not None:
        return f"fraction-{fraction}-seed-{seed}", choose_fraction(dataset, split, fraction, seed)
    return Path(str(listed)).stem, choose_listed(dataset, split, str(listed))


def beside(dataset: Dataset, rule: str) -> Location:
    """Where a selection lies unless the user says otherwise: in a folder beside the shards."""
    return dataset.location.parent / f"{dataset.location.name}-labels" / f"{rule}.json"


def put_images(dataset: Dataset, selection: Selection) -> Any:
    """The selected rows as a table (id, image, label) in Ray's object store; each shard is read once, in parallel.

    Raises:
        UserError: when a selected instance has no row.
    """
    # Anywhere, as a task of the stream: a trial of a sweep stands in a placement group without CPUs.
    task = ray.remote(scheduling_strategy="DEFAULT")(read_images)
    ids, split = ray.put(selection.ids), dataset.split(selection.split)
    each = [replace(dataset, splits={selection.split: replace(split, shards=[shard])}) for shard in split.shards]
    parts = ray.get([task.remote(one, selection.split, ids) for one in each])
    images: dict[int, bytes] = {row: image for part in parts for row, image in part.items()}
    if missing := [row for row in selection.ids if row not in images]:
        raise UserError(f"instance {missing[0]} of the labels has no image in {dataset.location}; run quorum labels again")
    return ray.put(pa.table({"id": selection.ids, "image": [images[row] for row in selection.ids], "label": selection.labels}))
