"""`quorum labels`: which few instances training may see the labels of, by instance id.

A selection is a small JSON file beside the shards, so that the same shards serve every split. Drawn by class from a seed, a
larger selection of one seed contains the smaller ones. A list file may also bring labels that the shards do not have.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.datasets.image_shards import Dataset, read_column, read_images, read_sources
from pipelines.datasets.label_lists import alike_classes, fraction_in, read_list
from pipelines.errors import UserError, nearest
from pipelines.files.documents import damage_in_words, read_document, write_document
from pipelines.files.location import Location
from pipelines.files.storage_errors import said_of, storage_sentence
from pipelines.files.text import composed
from pipelines.words import counted, tell

SELECTION_FORMAT = 1
MAKE_AGAIN = "make it again with quorum labels"
UNLABELLED = ("", "-1", "-1.0")  # what a list writes for an instance without a class
MISSING = ("nan", "none", "null", "na", "n/a", "<na>", "?", "unlabeled", "unlabelled")  # what is written for a missing value
MOST_NAMED = 10  # classes in a sentence


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
    def open(cls, place: str, data: str = "FOLDER", remedy: str = "") -> Selection:
        """Read a selection.

        Args:
            place: of its file.
            data: that it should be of, for the advice where there is none.
            remedy: what to do about one that is missing or damaged; empty says how to make it.

        Raises:
            UserError: for a file that is missing, damaged, or of another format.
        """
        location = Location.of(place)
        if not location.exists():
            how = f"make it: quorum labels --data {quote(str(data))} --per-class 4, and give the file that this writes"
            raise UserError(f"labels {place} is not there; {remedy or how}")
        try:
            content = read_document(location, SELECTION_FORMAT, remedy or MAKE_AGAIN)
        except OSError as error:
            raise UserError(f"labels {place} cannot be read: {storage_sentence(error)}") from error
        with damage_in_words(location, remedy or MAKE_AGAIN):
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
            raise UserError(f"labels {place} cannot be written ({said_of(error)}); choose another place: --to FILE") from error

    @staticmethod
    def _refuse_other(location: Location) -> None:
        try:
            read_document(location, SELECTION_FORMAT, MAKE_AGAIN)["rule"]
        except (UserError, KeyError) as error:
            raise UserError(f"{location} is there, and is no selection; choose another place: --to FILE") from error

    def check(self, dataset: Dataset, split: str, place: str) -> None:
        """Refuse a selection that does not belong to these shards, or leaves a class of the split without a label.

        Raises:
            UserError: naming what does not fit.
        """
        if not dataset.has_rows_of(self.fingerprint) or self.split != split:
            raise UserError(
                f"labels {place} were chosen from split {self.split!r} of shards with fingerprint {self.fingerprint}, but "
                f"{dataset.location} has {dataset.fingerprint} and the run trains on {split!r}; run quorum labels on these shards"
            )
        known = {*self.classes}
        if new := [name for name in dataset.classes if name not in known]:
            raise UserError(f"{dataset.location} has class {new[0]!r}, which labels {place} do not know; run quorum labels again")
        if len(self.ids) != len(self.labels) or len(set(self.ids)) != len(self.ids):
            raise UserError(f"labels {place} hold {len(set(self.ids))} instances and {len(self.labels)} labels; make it again")
        if not all(0 <= label < len(self.classes) for label in self.labels):
            raise UserError(f"labels {place} hold a label outside its {len(self.classes)} classes; make it again")
        absent = absent_classes(dataset, split)
        missing = [name for name in map(self.classes.__getitem__, self.unlabelled_classes) if name not in absent]
        if missing:
            raise UserError(f"labels {place} hold none of class {missing[0]!r}; every class needs at least one")

    def with_more(self, other: Selection) -> Selection:
        """This selection and another of the same shards and split, whose classes are known by their names.

        Raises:
            UserError: for an instance that the two give different classes.
        """
        mine = {*self.classes}
        classes = [*self.classes, *(name for name in other.classes if name not in mine)]
        numbers, chosen = numbers_of_classes(other.classes, classes), dict(zip(self.ids, self.labels, strict=True))
        for row, label in zip(other.ids, other.labels, strict=True):
            if (before := chosen.setdefault(row, numbers[label])) != numbers[label]:
                raise UserError(
                    f"instance {row} is of class {classes[before]!r} ({self.rule}) and of {other.classes[label]!r} "
                    f"({other.rule}); correct one"
                )
        ids = sorted(chosen)
        rule = f"{self.rule}, and {other.rule}"
        return replace(other, classes=classes, ids=ids, labels=[chosen[row] for row in ids], rule=rule)

    @property
    def label_counts(self) -> list[int]:
        """Labelled instances of each class."""
        counts = Counter(self.labels)
        return [counts[label] for label in range(len(self.classes))]

    @property
    def unlabelled_classes(self) -> list[int]:
        """Classes without a label, ascending: in a selection that was checked they have no row in the split either."""
        return sorted(set(range(len(self.classes))) - set(self.labels))


def absent_classes(dataset: Dataset, split: str) -> list[str]:
    """Names of the classes that have no row in a split; none where the split has rows whose class is unknown."""
    part = dataset.split(split)
    if not part.rows or not part.labelled:
        return []
    return [name for name, rows in zip(dataset.classes, part.class_counts, strict=True) if not rows]


def say_absent(dataset: Dataset, split: str) -> None:
    """Tell the user which classes can have no label, because the split has no row of them."""
    if absent := absent_classes(dataset, split):
        total = len(dataset.classes)
        tell(f"{len(absent)} of {total} classes have no image in split {split!r}: {listed_names(absent)}: no label of them")


def listed_names(names: list[str]) -> str:
    """Names of classes in a sentence, of very many the first."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def choose(
    dataset: Dataset, split: str, count: Callable[[int], int], *, seed: int, rule: str, at_most: bool = False, advice: str = ""
) -> Selection:
    """A class-balanced selection: of a class with n rows, `count(n)` drawn by the seed; a class without a row is left out.

    Args:
        dataset: that is chosen from.
        split: of it.
        count: labels of a class, by its rows.
        seed: of the choice.
        rule: the choice in words.
        at_most: take what a class has where that is less than `count` asks for, and say so.
        advice: another way, for the sentence about a class with too few rows.

    Raises:
        UserError: for shards without labels, or a class with too few rows.
    """
    part = dataset.split(split)
    if part.rows and not sum(part.class_counts):
        raise UserError(f"split {split!r} of {dataset.location} has no labels to choose from; give a list file: --list FILE")
    truth = read_column(dataset, split, "label")
    chosen, short = [], []
    for label, name in enumerate(dataset.classes):
        rows = np.flatnonzero(truth == label)
        wanted = count(len(rows))
        if at_most and 0 < len(rows) < wanted:
            short.append(f"class {name!r} has only {len(rows)} of {wanted}")
            wanted = len(rows)
        if len(rows) and not 1 <= wanted <= len(rows):
            raise UserError(
                f"{wanted} labels of class {name!r} are asked for, split {split!r} has {len(rows)}; "
                f"ask for 1 to {len(rows)}{advice if wanted > 0 else ''}"
            )
        chosen += np.random.default_rng((seed, label)).permutation(rows)[:wanted].tolist()
    if not chosen:
        raise UserError(f"split {split!r} of {dataset.location} has no image of any class; choose another split: --split NAME")
    if short:
        tell(f"split {split!r}: {listed_names(short)}; taken as they are")
    ids = sorted(chosen)
    return Selection(dataset.fingerprint, split, dataset.classes, ids, truth[ids].tolist(), rule)


def rule_per_class(per_class: int, seed: int, *, at_most: bool = False) -> str:
    """What a selection says that `choose_per_class` makes."""
    return f"{'at most ' if at_most else ''}{per_class} per class, seed {seed}"


def choose_per_class(dataset: Dataset, split: str, per_class: int, seed: int, *, at_most: bool = False) -> Selection:
    """The same number of every class, or with `at_most` all that a smaller class has."""
    rule = rule_per_class(per_class, seed, at_most=at_most)
    advice = f", or take all of a class that has fewer: quorum labels --per-class {per_class} --at-most"
    return choose(dataset, split, lambda _: per_class, seed=seed, rule=rule, at_most=at_most, advice=advice)


def choose_fraction(dataset: Dataset, split: str, fraction: float, seed: int) -> Selection:
    """A share of every class, at least one; where that is more than the share, it is told."""
    if not 0 < fraction <= 1:
        raise UserError(f"--fraction is {fraction}; it must lie in (0, 1]")
    rows = [count for count in dataset.split(split).class_counts if count]
    if small := [count for count in rows if not round(fraction * count)]:
        share = sum(max(1, round(fraction * count)) for count in rows) / sum(rows)
        tell(
            f"--fraction {fraction} of {len(small)} of {counted(len(rows), 'class')} is none: one image of each is taken, so "
            f"that {share:.2g} of the images have a label"
        )
    return choose(
        dataset, split, lambda rows: max(1, round(fraction * rows)), seed=seed, rule=f"{fraction} of each class, seed {seed}"
    )


def choose_listed(dataset: Dataset, split: str, file: str, *, list_ids: bool = False) -> Selection:
    """What a list file names: a line holds an instance id or a source path, and if the shards lack it a comma and the class.

    An empty class, or -1 where no class is called so, says that an instance has none: it is left out.

    Raises:
        UserError: naming file and line of what is not in the shards, or may be read in two ways.
    """
    elsewhere = {path: other for other in dataset.splits if other != split for path in read_sources(dataset, other)}
    listed = read_list(file, read_sources(dataset, split), ids=list_ids, elsewhere=elsewhere)
    truth = read_column(dataset, split, "label")
    classes = dataset.classes or sorted({line.label for line, _ in listed if line.label is not None} - {*UNLABELLED})
    if not dataset.classes and (fraction := fraction_in(classes)):
        raise UserError(f"list {file} holds {fraction}, which is no class; write behind each comma what the image shows")
    for sentence in () if dataset.classes else alike_classes(classes):
        tell(f"list {file}: {sentence}")
    number_of = _numbers_of(map(composed, classes))
    shared = {name for name, count in Counter(map(composed, classes)).items() if count > 1}
    chosen: dict[int, int] = {}
    unlabelled = 0
    for line, row in listed:
        if line.label in UNLABELLED and line.label not in number_of:
            unlabelled += 1
            continue
        if line.label in shared:
            raise UserError(
                f"{line.where}: several classes of the shards are called {line.label!r}; write the line without a class, and the "
                "image's own is taken"
            )
        label = int(truth[row]) if line.label is None else _label_of(line.label, number_of, line.where, made=not dataset.classes)
        if label < 0:
            raise UserError(f"{line.where}: {line.key!r} has no label in the shards; add a comma and its class")
        if chosen.setdefault(row, label) != label:
            raise UserError(f"{line.where}: {line.key!r} is listed twice, with two classes")
    if unlabelled:
        tell(f"list {file}: {unlabelled} of {len(listed)} lines give no class ('' or -1) and are left out")
    if not chosen:
        raise UserError(f"list {file} gives no instance a class; write it behind a comma")
    rows = sorted(chosen)
    return Selection(dataset.fingerprint, split, classes, rows, [chosen[row] for row in rows], f"list {Path(file).name}")


def numbers_of_classes(names: Iterable[str], among: Iterable[str]) -> list[int]:
    """The number of each class among others that have it; of two of one name the second is the second one there."""
    places, met = defaultdict[str, list[int]](list), Counter[str]()
    for number, name in enumerate(among):
        places[name].append(number)
    found = []
    for name in names:
        found.append(places[name][min(met[name], len(places[name]) - 1)])
        met[name] += 1
    return found


def _numbers_of(classes: Iterable[str]) -> dict[str, int]:
    """The number of each class by its name; of two that share one the first."""
    found: dict[str, int] = {}
    for number, name in enumerate(classes):
        found.setdefault(name, number)
    return found


def _label_of(name: str, classes: Mapping[str, int], where: str, *, made: bool) -> int:
    """The number of a class; where the list has `made` the classes, no missing value is one."""
    if made and name.casefold() in MISSING:
        raise UserError(f"{where}: {name!r} looks like a missing value; leave the class empty, or call it something else")
    if name not in classes:
        raise UserError(f"{where}: the shards have no class {name!r}{nearest(name, classes)}")
    return classes[name]


def choose_from(
    dataset: Dataset, split: str, *, per_class: int | None, fraction: float | None, listed: str | None, seed: int,
    at_most: bool = False, list_ids: bool = False,
) -> tuple[str, Selection]:  # fmt: skip
    """The selection by the one rule that is given, and a short name of it for a file.

    Raises:
        UserError: unless exactly one rule is given, or when it asks for what is not there.
    """
    if sum(rule is not None for rule in (per_class, fraction, listed)) != 1:
        raise UserError("give exactly one of --per-class, --fraction and --list")
    if at_most and per_class is None:
        raise UserError("--at-most goes with --per-class only; leave it out")
    if list_ids and listed is None:
        raise UserError("--list-ids goes with --list only; leave it out")
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must be 0 or more")
    if per_class is not None:
        selection = choose_per_class(dataset, split, per_class, seed, at_most=at_most)
        name = f"per-class-{'at-most-' if at_most else ''}{per_class}-seed-{seed}"
    elif fraction is not None:
        name, selection = f"fraction-{fraction}-seed-{seed}", choose_fraction(dataset, split, fraction, seed)
    else:
        name, selection = Path(str(listed)).stem, choose_listed(dataset, split, str(listed), list_ids=list_ids)
    return name if split == "train" else f"{split}-{name}", selection  # neither split's takes the other's place


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
