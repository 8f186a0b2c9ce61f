"""`quorum labels --next`: which images to label next, by a run's classifier or its clusters, as a list to fill in."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import ray
import torch
from torch import Tensor

from algos.class_scores import Guesses
from algos.next_labels import typical_first, uncertain_first
from algos.scores import linear_probe
from pipelines.datasets.image_shards import Dataset, read_column, read_images, read_sources
from pipelines.datasets.label_lists import read_list
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.evaluation.class_tables import TELLING
from pipelines.evaluation.embedding_sources import SHARES, RunSource
from pipelines.evaluation.evaluate import embed_split
from pipelines.evaluation.memory import check_memory
from pipelines.files.location import Location, is_on_disk, path_on_disk
from pipelines.jobs.ray_cluster import connect
from pipelines.runs.trained_model import Trained
from pipelines.tracking.class_pictures import named_sheet
from pipelines.words import tell

By = Literal["uncertain", "typical"]
SHOWN = 96  # images on the sheet


@dataclass(frozen=True)
class NextImages:
    """Images to label next.

    Attributes:
        data: the data set's folder.
        file: list to fill in.
        sheet: picture of the first of them, in the order of the list.
        ids: instance ids, the most wanted first.
        sources: their source paths.
        labelled: images that have a label already.
    """

    data: str
    file: Path
    sheet: Path
    ids: list[int]
    sources: list[str]
    labelled: int


def next_images(
    dataset: Dataset, split: str, place: str, count: int, *, by: By, known: Selection | None, to: str | None, gpu: bool,
    address: str | None = None,
) -> NextImages:  # fmt: skip
    """Choose images without a label, write them as a list for `quorum labels --list`, and draw them.

    Args:
        dataset: that is chosen from.
        split: of it.
        place: of the run that chooses, or of a checkpoint of it.
        count: images.
        by: `uncertain`, by the margin of the run's classifier or of a linear probe on the known labels; or `typical` of clusters.
        known: what is labelled besides the run's own labels.
        to: file to write, which must not be there; null takes one beside the shards.
        gpu: embed on GPUs.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for fewer images without a label, a file that is there, or a run that knows no classes to be uncertain of.
    """
    if count < 1:
        raise UserError(f"next is {count}; give how many images to label, at least 1")
    if by not in ("uncertain", "typical"):
        raise UserError(f"by is {by!r}; give uncertain or typical")
    trained, rows = Trained.open(place), dataset.split(split).rows
    file = _free_file(dataset, to, f"next-{count}-{by}")
    labels = _labels(dataset, split, trained, known)
    if by == "uncertain" and trained.selection is None and len(set(labels.values())) < 2:
        raise UserError(f"{place} has no classifier; give labels of two classes or more, --known FILE, or take --by typical")
    if count > rows - len(labels):
        raise UserError(f"{count} images are asked for, and {rows - len(labels)} of the {rows} in split {split!r} have no label")
    check_memory(rows, trained.features)
    Location.of(file.parent).make_writable()
    connect(address, local_cpus=2)
    source = replace(RunSource.of(trained), classify=by == "uncertain")
    found = embed_split(source, dataset, split, workers=_actors(gpu), gpu=gpu)
    labelled = torch.tensor([row in labels for row in found["id"].tolist()])
    if by == "typical":
        order = typical_first(found["feature"], found["clusters"][:, 0].long(), labelled)
    else:
        order = uncertain_first(_margins(found, labelled, labels), labelled)
    ids = found["id"][order[:count]].tolist()
    sources = {row: name for name, row in read_sources(dataset, split).items()}
    names = [sources[row] for row in ids]
    _write_list(file, ids, names, dataset, split)
    sheet = file.with_suffix(".png")
    _draw(dataset, split, ids[:SHOWN], names[:SHOWN], sheet)
    return NextImages(str(dataset.location), file, sheet, ids, names, len(labels))


def _actors(gpu: bool) -> int:
    """As many as the cluster has GPUs, or CPUs but one."""
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0)) if gpu else int(resources.get("CPU", 0)) - 1)


def _free_file(dataset: Dataset, to: str | None, name: str) -> Path:
    beside = Location.of(str(dataset.location.parent / f"{dataset.location.name}-labels"))
    if to is not None and not is_on_disk(to):
        raise UserError(f"to is {to}; the list is filled in by hand: give a file of this machine")
    file = path_on_disk(to) if to else (Path(beside.path) if beside.is_local else Path()) / f"{name}.csv"
    if file.suffix == ".png":
        raise UserError(f"to is {to}, where the sheet of pictures would lie; give a name that ends in .csv")
    if file.exists():
        raise UserError(f"{file} is there, and may be filled in; choose another place: --to FILE")
    return file


def _labels(dataset: Dataset, split: str, trained: Trained, known: Selection | None) -> dict[int, str]:
    """Class of each instance that has a label: in the run, in what is known, and in shards that know some only."""
    part, found = dataset.split(split), dict[int, str]()
    if part.rows and not part.labelled and any(part.class_counts):
        truth = read_column(dataset, split, "label")
        found = {int(row): dataset.classes[truth[row]] for row in (truth >= 0).nonzero()[0]}
    own = trained.selection
    if own is not None and not (dataset.has_rows_of(own.fingerprint) and own.split == split):
        tell(f"the labels of {trained.run.location} are of other images, and not counted")
        own = None
    for selection in (own, known):
        if selection is not None:
            found |= {row: selection.classes[label] for row, label in zip(selection.ids, selection.labels, strict=True)}
    return found


def _margins(found: dict[str, Tensor], labelled: Tensor, labels: dict[int, str]) -> Tensor:
    """Of the run's own classifier, with its averaged weights where it has such; else of a probe on the labelled rows."""
    own = [name for name in TELLING if f"{name}{SHARES}" in found]
    if own:
        return Guesses(found[own[0]], found[f"{own[0]}{SHARES}"]).margin
    classes = sorted(set(labels.values()))
    truth = torch.tensor([classes.index(labels[row]) for row in found["id"][labelled].tolist()])
    probe = linear_probe(found["feature"][labelled], truth, num_classes=len(classes))
    return Guesses.of_logits(probe(found["feature"])).margin


def _write_list(file: Path, ids: list[int], names: list[str], dataset: Dataset, split: str) -> None:
    """The images by their source paths, or by id where `quorum labels --list` would not find them by these."""
    sources = read_sources(dataset, split)
    for header, keys in (("source", names), ("id", list(map(str, ids)))):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([(header, "label"), *((key, "") for key in keys)])
        Location.of(file).write_bytes(text.getvalue().encode())
        try:
            if [row for _, row in read_list(str(file), sources)] == ids:
                return
        except UserError:
            if header == "id":
                raise


def _draw(dataset: Dataset, split: str, ids: list[int], names: list[str], sheet: Path) -> None:
    images = read_images(dataset, split, ids)
    named_sheet([(images[row], name) for row, name in zip(ids, names, strict=True)], sheet)
