"""Images and the few labels that training may see: `ingest` and `labels`, and a data set to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.errors import UserError
from quorum.arguments import checked, place_of
from quorum.notebook import facts, thumbnails
from quorum.training import Run

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from pipelines.datasets.image_shards import Dataset
    from pipelines.datasets.label_selection import Selection
    from pipelines.evaluation.next_labels import NextImages
    from pipelines.ingest.stored_form import StoredForm

SHOWN = 10  # images in a notebook
SHARD_ROWS, MAX_BAD = 4096, 0.01  # images of a file, and the share of unreadable ones that stops a job


class DataSet:
    """Ingested images: what `ingest` returns.

    Args:
        dataset: the opened shards.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @property
    def path(self) -> str:
        """Folder or URI: what every `data` takes."""
        return str(self.dataset.location)

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty without labels."""
        return list(self.dataset.classes)

    @property
    def splits(self) -> pd.DataFrame:
        """Images, files, megabytes and whether there are labels, of each split."""
        import pandas as pd

        rows = {
            name: {
                "images": split.rows,
                "files": len(split.shards),
                "MB": sum(shard.image_bytes for shard in split.shards) / 1e6,
                "labelled": split.labelled,
            }
            for name, split in self.dataset.splits.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    @property
    def counts(self) -> pd.DataFrame:
        """Images of each class in each split that has labels."""
        import pandas as pd

        labelled = {name: split.class_counts for name, split in self.dataset.splits.items() if any(split.class_counts)}
        return pd.DataFrame(labelled, index=pd.Index(self.classes, name="class"))

    def images(self, count: int = SHOWN, split: str = "train") -> dict[int, Image.Image]:
        """The first images of a split, which ingesting has shuffled, by instance id."""
        from pipelines.datasets.encoded_image import open_image
        from pipelines.views.shown_picture import Showing

        return {row: Showing().show(open_image(image)) for row, image in self._first(count, split).items()}

    def _first(self, count: int, split: str) -> dict[int, bytes]:
        from pipelines.datasets.image_shards import read_images

        ids = range(min(count, self.dataset.split(split).ids))
        return read_images(self.dataset, split, list(ids))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {split.rows:,}" for name, split in self.dataset.splits.items())
        return f"DataSet({self.path}: {sizes} images, {len(self.classes)} classes)"

    def _repr_html_(self) -> str:
        found = self._first(SHOWN, "train" if "train" in self.dataset.splits else next(iter(self.dataset.splits)))
        shown = thumbnails(list(found.values()), [str(row) for row in found])
        values = {"classes": len(self.classes), "fingerprint": self.dataset.fingerprint, "unreadable": self.dataset.quarantined}
        return facts(f"{self.dataset.name}: {self.path}", values) + self.splits.to_html() + shown


@dataclass(frozen=True)
class LabelChoice:
    """The labelled instances that `labels` chose, and the file that `semisup` takes as its `labels`."""

    path: str
    selection: Selection

    @property
    def counts(self) -> pd.Series:
        """Labels of each class."""
        import pandas as pd

        names = pd.Series([self.selection.classes[label] for label in self.selection.labels])
        return names.value_counts().reindex(self.selection.classes, fill_value=0).rename("labels")

    def __str__(self) -> str:
        return self.path

    def _repr_html_(self) -> str:
        values = {"file": self.path, "rule": self.selection.rule, "labels": len(self.selection.ids)}
        return facts("labels", values) + self.counts.to_frame().to_html()


@dataclass(frozen=True)
class NextLabels:
    """Images to label next: what `labels` returns where a run chooses.

    Attributes:
        opened: list, sheet and ids.
    """

    opened: NextImages

    @property
    def path(self) -> str:
        """The list to fill in, a class behind each comma: what `listed` takes then."""
        return str(self.opened.file)

    @property
    def sheet(self) -> str:
        """Picture of the first of them, in the order of the list."""
        return str(self.opened.sheet)

    @property
    def images(self) -> pd.DataFrame:
        """Instance id and source path of each, the most wanted first."""
        import pandas as pd

        return pd.DataFrame({"id": self.opened.ids, "source": self.opened.sources})

    def __str__(self) -> str:
        return self.path

    def _repr_html_(self) -> str:
        from quorum.notebook import picture

        return facts("images to label next", {"list": self.path, "images": len(self.opened.ids)}) + picture(self.opened.sheet)


@checked
def open_data(data: str | Path) -> DataSet:
    """The data set in a folder that `ingest` wrote.

    Raises:
        UserError: for a folder without one.
    """
    from pipelines.datasets.image_shards import Dataset

    return DataSet(Dataset.open(str(data)))


@checked
def ingest(
    source: str | Path, to: str | Path | None = None, *,
    kind: str = "auto", domains: Sequence[str] = (), image: str | None = None, label: str | None = None, depth: int = 1,
    name: str | None = None, holdout: float = 0.0, val: float = 0.0, take: int | None = None, seed: int = 0,
    rows_per_shard: int = SHARD_ROWS, pixels: bool = False, short_side: int | None = None, quality: int | None = None,
    background: list[int] | None = None, max_pixels: int | None = None, max_bad: float = MAX_BAD,
    overwrite: bool = False, append: str | Path | DataSet | None = None, in_place: bool = False, address: str | None = None,
) -> DataSet:  # fmt: skip
    """Write a source of images as Parquet shards with stable instance ids.

    Args:
        source: `digits`, or a folder or file, local or a URI: class folders, images, Parquet, tars of WebDataset, a table of
            paths, or a published data set as it was downloaded.
        to: an empty or absent folder, local or a URI.
        kind: `auto`, `folder`, `images` (no labels), `parquet`, `webdataset`, `table`, `idx`, `cifar`, `domainnet`,
            `mini-imagenet`, `imagenet` or `digits`.
        domains: of DomainNet, as clipart,sketch; all that are there where none is named.
        image: column of the images, or of their paths, of Parquet and tables; suffix of the images of WebDataset.
        label: column of the labels, likewise; suffix or JSON field of WebDataset.
        depth: which folder on the way to an image is its class: 2 is the folder in the first one.
        name: of the data set; the folder's where none is given.
        holdout: share of the training images, of each class, that become the test split of a source without one.
        val: share of the rest that becomes the val split, on which checkpoints and settings are chosen instead of test.
        take: only so many of the training images, drawn by the seed.
        seed: of the order of the rows.
        rows_per_shard: images of a file, at most.
        pixels: store decoded images, larger, which no epoch and no trial decodes again.
        short_side: px that the shorter side has at most as an image is stored, for example 256; a larger one becomes a JPEG.
        quality: of those JPEGs, 1 to 100; default 90.
        background: red, green and blue, 0 to 255, behind transparent images that are stored smaller or decoded; default white.
        max_pixels: that an image may have, one with more is unreadable; default 178,956,970, and more need short_side.
        max_bad: share of unreadable images at which the job stops; ten or fewer never stop it.
        overwrite: replace the data set that is there.
        append: data set that grows, instead of `to`: its ids stay as they are and the new ones follow.
        in_place: leave the images of Parquet files where they are and write their ids and labels only.
        address: of a Ray cluster; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for a source that is not understood, a folder in use, or too many unreadable images.
    """
    from pipelines.in_place.index import index
    from pipelines.ingest.ingest import ingest as run
    from pipelines.ingest.recognise import open_source

    grown = _grown(to, append, name, overwrite)
    found = open_source(str(source), kind, list(domains), image=image, label=label, depth=depth)
    place, named = _place_and_name(to, grown, name)
    if in_place:
        _check_in_place(
            grown, holdout=holdout, val=val, take=take, pixels=pixels, short_side=short_side, quality=quality,
            max_pixels=max_pixels, background=background, seed=seed, rows_per_shard=rows_per_shard != SHARD_ROWS,
            max_bad=max_bad != MAX_BAD,
        )  # fmt: skip
        return DataSet(index(found, place, named, overwrite=overwrite))
    made = run(
        found, place, name=named, seed=seed, holdout=holdout, val=val, take=take, rows_per_shard=rows_per_shard,
        form=_form(pixels, short_side, quality, background, max_pixels), max_bad=max_bad, overwrite=overwrite,
        append=grown is not None, address=address,
    )  # fmt: skip
    return DataSet(made)


def _grown(to: str | Path | None, append: str | Path | DataSet | None, name: str | None, overwrite: bool) -> DataSet | None:
    """The data set that is to grow; `None` for a new one.

    Raises:
        UserError: for both or none, or options of a new one.
    """
    if to is None and append is None:
        raise UserError("to is missing: quorum ingest SOURCE --to FOLDER, or --append DATA for a data set that grows")
    if to is not None and append is not None:
        raise UserError("give --to for a new data set, or --append for one that grows, not both")
    if append is not None and (name or overwrite):
        raise UserError("--append keeps the data set and its name; leave out --name and --overwrite")
    return None if append is None else append if isinstance(append, DataSet) else open_data(place_of(append))


def _place_and_name(to: str | Path | None, grown: DataSet | None, name: str | None) -> tuple[str, str]:
    """Of the data set that is written: those of one that grows, or its folder's name where none is given."""
    from pipelines.files.location import Location

    if grown is not None:
        return grown.path, grown.dataset.name
    return str(to), name or Location.of(str(to)).name


def _form(
    pixels: bool, short_side: int | None, quality: int | None, background: list[int] | None, max_pixels: int | None
) -> StoredForm:
    """How images are stored."""
    from pipelines.ingest.stored_form import MAX_PIXELS, StoredForm
    from pipelines.views.shown_picture import Showing
    from pipelines.views.view_config import WHITE

    shown = Showing(WHITE if background is None else background)
    return StoredForm(pixels, short_side, quality, shown, MAX_PIXELS if max_pixels is None else max_pixels)


def _check_in_place(grown: DataSet | None, **others: Any) -> None:
    """Refuse options of the copy that is not made.

    Raises:
        UserError: naming the option.
    """
    if grown is not None:
        raise UserError("--in-place makes a data set of its own; leave out --append")
    for name, value in others.items():
        if value:
            raise UserError(
                f"--{name.replace('_', '-')} is of images that are copied, and --in-place leaves them as they are; leave out one"
            )


@checked
def labels(
    data: str | Path | DataSet,
    *,
    per_class: int | None = None,
    at_most: bool = False,
    fraction: float | None = None,
    listed: str | Path | None = None,
    list_ids: bool = False,
    count: int | None = None,
    run: str | Path | Run | None = None,
    by: Literal["uncertain", "typical"] = "typical",
    known: str | Path | LabelChoice | None = None,
    seed: int = 1,
    split: str = "train",
    to: str | Path | None = None,
    gpu: bool = False,
    address: str | None = None,
) -> LabelChoice | NextLabels:
    """Choose the few labels that training may see: by instance id, balanced by class, reproducible; or images to label next.

    Args:
        data: folder that `ingest` wrote.
        per_class: labels of each class.
        at_most: with `per_class`, take all of a class that has fewer images, and say so.
        fraction: share of each class.
        listed: file with an instance id or source path a line, then perhaps a comma and a class.
        list_ids: with `listed`, take every number for an instance id, though files are called by numbers too.
        count: so many images to label next, as a list to fill in, which `listed` takes; chosen by a run, never a labelled one.
        run: that chooses them, its folder or a checkpoint of it; a run of semisup has labels of its own.
        by: `uncertain`, the smallest margins of its classifier, or of a probe on the known labels; or `typical` of its clusters,
            those without a label first.
        known: selection that is labelled already: the next images are others, and a list that was filled in adds to it.
        seed: of the choice; a larger choice contains the smaller ones.
        split: that is chosen from.
        to: file to write; where none is given `DATA-labels/RULE.json`, or `SPLIT-RULE.json` of a split that is not `train`; a
            list's is `DATA-labels/next-N-BY.csv`.
        gpu: embed the images with GPUs, where a run chooses.
        address: of a Ray cluster, where a run chooses; RAY_ADDRESS or this machine where none is given.

    Raises:
        UserError: for none or several of the rules, or a choice that the data cannot give.
    """
    from pipelines.datasets.image_shards import Dataset
    from pipelines.datasets.label_selection import beside, choose_from

    dataset = data.dataset if isinstance(data, DataSet) else Dataset.open(place_of(data))
    known = None if known is None else place_of(known)
    before = None if known is None else _known(known, dataset, split)
    if count is not None:
        _check_no_rule(per_class, fraction, listed, at_most, list_ids)
        return _next(dataset, split, count, run, by, before, to, gpu, address)
    _check_no_run(run, None if by == "typical" else by, before if listed is None else None)
    rule, selection = choose_from(
        dataset, split, per_class=per_class, fraction=fraction, listed=None if listed is None else str(listed), seed=seed,
        at_most=at_most, list_ids=list_ids,
    )  # fmt: skip
    if before is not None:
        rule, selection = f"{rule}-and-{Path(str(known)).stem}", before.with_more(selection)
    return _saved(dataset, split, selection, str(to or beside(dataset, rule)))


def _check_no_rule(*rules: Any) -> None:
    """Refuse rules by class beside a choice by a run."""
    if any(rule is not None and rule is not False for rule in rules):
        raise UserError("--next chooses images by a run; leave out --per-class, --at-most, --fraction, --list and --list-ids")


def _check_no_run(run: Any, by: str | None, known: Selection | None) -> None:
    """Refuse what is of a choice by a run beside rules by class."""
    for option, value in (("--from", run), ("--known", known), ("--by", by)):
        if value is not None:
            raise UserError(f"{option} goes with --next{' and --list' if option == '--known' else ''} only; leave it out")


def _known(known: str, dataset: Dataset, split: str) -> Selection:
    from pipelines.datasets.label_selection import Selection

    before = Selection.open(known, str(dataset.location))
    if not (dataset.has_rows_of(before.fingerprint) and before.split == split):
        raise UserError(f"--known {known} was chosen from other images than split {split!r} of {dataset.location}")
    return before


def _saved(dataset: Dataset, split: str, selection: Selection, place: str) -> LabelChoice:
    from pipelines.datasets.label_selection import say_absent

    selection.check(dataset, split, place)
    say_absent(dataset, split)
    selection.save(place)
    return LabelChoice(place, selection)


def _next(
    dataset: Dataset, split: str, count: int, run: Any, by: Any, known: Selection | None, to: Any, gpu: bool, address: str | None
) -> NextLabels:
    if run is None:
        raise UserError("from is missing: quorum labels DATA --next N --from RUN")
    from pipelines.evaluation.next_labels import next_images

    place = place_of(run)
    made = next_images(
        dataset, split, place, count, by=by, known=known, to=None if to is None else str(to), gpu=gpu, address=address
    )  # fmt: skip
    return NextLabels(made)
