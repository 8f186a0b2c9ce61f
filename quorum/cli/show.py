"""What each command made, in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.progress import in_bytes
from pipelines.secrets import hidden
from pipelines.words import counted
from quorum.data import NextLabels
from quorum.notebook import frame_of

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.datasets.image_shards import Split
    from quorum.assigning import Assignment, JoinedLabels, Quality
    from quorum.clustering import Clustering
    from quorum.comparing import Comparison
    from quorum.curation import Curated, Deduplicated
    from quorum.data import DataSet, LabelChoice
    from quorum.scoring import Embeddings, Probe
    from quorum.source_look import SourceLook
    from quorum.training import Run
    from quorum.upkeep.clean import Cleaning
    from quorum.upkeep.doctor import Checkup


MOST_CLASSES, MOST_PATHS = 20, 10  # in a table, and of what is left out
MOST_PAIRS = 5  # of centers
STYLES = {"fault": "bold red", "note": "yellow", "not tried": "dim"}  # of a checkup's lines
MOST_WORST = 10  # classes
ASSIGNED_COLUMNS = (
    "head", "clusters", "smallest", "largest", "empty", "mean_similarity", "run_mean_similarity", "moved_share",
)  # fmt: skip
QUALITY_COLUMNS = (
    "head", "clusters", "min_size", "smallest", "largest", "maximum", "empty", "size_gini", "similarity", "silhouette",
    "simplified_silhouette",
)  # fmt: skip


def _say(text: str) -> None:
    print(hidden(text))


def _plain(text: str) -> str:
    """As a table shows it: brackets are no markup, and addresses have no secrets."""
    return escape(hidden(text))


def _add_column(table: Table, name: str, *, right: bool = False) -> None:
    """A column that shows its cells whole, however narrow the terminal is."""
    table.add_column(name, justify="right" if right else "left", overflow="fold")


def show_ingest(made: DataSet) -> None:
    """The splits of a data set, and how many files could not be read."""
    dataset = made.dataset
    table = Table(title=_plain(f"{dataset.name}  {made.path}  fingerprint {dataset.fingerprint}"), title_justify="left")
    for column in ("split", "images", "shards", "MB", "labels"):
        _add_column(table, column, right=column != "split")
    for name, split in dataset.splits.items():
        size = sum(shard.image_bytes for shard in split.shards) / 1e6
        table.add_row(name, f"{split.rows:,}", str(len(split.shards)), f"{size:,.1f}", _known_of(split, len(dataset.classes)))
    Console().print(table)
    if dataset.quarantined:
        _say(f"{counted(dataset.quarantined, 'unreadable file')}: see {dataset.location}/quarantine.parquet")


def _known_of(split: Split, classes: int) -> str:
    """How many classes a split has images of, and how many of its images are of none."""
    there = sum(count > 0 for count in split.class_counts)
    if not there:
        return "none"
    said = f"{there} of {classes} classes" if there < classes else f"{classes} classes"
    return said if split.labelled else f"{said}, {split.rows - sum(split.class_counts):,} unlabelled"


def show_ingest_look(made: SourceLook) -> None:
    """What an ingest would take, by class and format, what it would leave out, and where a sheet of thumbnails is."""
    from pipelines.ingest.sources.source import counted

    listing, probe = made.look.listing, made.look.probe
    table = Table(title=_plain(f"{made.look.place}, read as {made.look.kind}"), title_justify="left")
    _add_column(table, "class")
    for split in made.counts.columns:
        _add_column(table, f"{split} images", right=True)
    for name, row in made.counts.head(MOST_CLASSES).iterrows():
        table.add_row(_plain(str(name)), *(f"{count:,}" for count in row))
    if len(made.counts) > MOST_CLASSES:
        table.add_row(
            f"... {len(made.counts) - MOST_CLASSES} more", *(f"{count:,}" for count in made.counts[MOST_CLASSES:].sum())
        )
    table.add_row("all", *(f"{count:,}" for count in made.counts.sum()), style="bold")
    Console().print(table)
    for note in listing.notes:
        _say(note)
    if listing.left_out:
        _say(counted(listing.left_out, most=len(listing.left_out)))
    for path, reason in listing.left_out[:MOST_PATHS]:
        _say(f"left out: {path} ({reason})")
    found = ", ".join(f"{count} {form}" for form, count in probe.formats.most_common())
    sides = sorted(min(size) for size in probe.sizes)
    if sides:
        sizes = f"shorter sides {sides[0]} to {sides[-1]} px, half of them up to {sides[len(sides) // 2]} px"
        _say(f"of {len(sides) + len(probe.unreadable)} images that were opened: {found}; {sizes}")
    for path, reason in probe.unreadable[:MOST_CLASSES]:
        _say(f"unreadable: {path} ({reason})")
    with NamedTemporaryFile(prefix="quorum-look-", suffix=".png", delete=False) as file:
        made.sheet.save(file)
    _say(f"nothing was written but a sheet of thumbnails: {file.name}")


def show_labels(chosen: LabelChoice | NextLabels) -> None:
    """How many labels were chosen, by which rule; or which images to label next, and what to do with the list."""
    if isinstance(chosen, NextLabels):
        _show_next(chosen)
        return
    selection, counts = chosen.selection, chosen.counts
    counts = counts[counts > 0]  # a class without an image has no label
    each = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    _say(f"{chosen.path}: {len(selection.ids)} labels of {len(counts)} classes, {each} a class ({selection.rule})")


def _show_next(chosen: NextLabels) -> None:
    made = chosen.opened
    _say(f"{made.file}: {len(made.ids)} images to label next, of those without a known label ({made.labelled:,} are known)")
    for place, source in enumerate(made.sources[:MOST_PATHS], 1):
        _say(f"  {place}. {source}")
    if len(made.sources) > MOST_PATHS:
        _say(f"  ... {len(made.sources) - MOST_PATHS} more in the list")
    _say(f"pictures in that order: {made.sheet}")
    _say(
        f"write each class behind its comma, then: quorum labels {quote(made.data)} --list {quote(str(made.file))}"
        + " (--known FILE keeps labels from before)"
    )


def show_pretrain(run: Run) -> None:
    """Where a run and its record are, and what chose its best checkpoint."""
    from pipelines.tracking.about.page import page_in_words

    _say(f"run {run.path}  (MLflow: {run.tracking_uri}, run {run.run_id})")
    _say(page_in_words(run.folder.address))
    _say(run.choice)


show_semisup = show_pretrain


def show_evaluate(scores: pd.Series) -> None:
    """Name and value of each score, and the classes that are guessed worst."""
    _show_scores(scores)
    if scores.attrs.get("classes"):
        _show_classes(scores.attrs["classes"])


def show_probe(made: Probe) -> None:
    """The scores, and what chose."""
    _show_scores(made.scores)
    if made.probed.table:
        _show_classes(made.probed.table)
    _say(f"learning rate {made.lr:g}, the last epoch; val chooses among several rates, so report test")
    _say(f"its own run: {made.path}")


def _show_scores(scores: pd.Series) -> None:
    table = Table()
    _add_column(table, "score")
    _add_column(table, "value", right=True)
    for name, value in scores.items():
        table.add_row(str(name), f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}")
    Console().print(_plain(str(scores.name)), soft_wrap=True, highlight=False)  # as a title it would be as narrow as the table
    Console().print(table)


def _show_classes(place: str) -> None:
    """The worst classes of the classifier that tells most, and where the table of all is."""
    from pipelines.evaluation.class_tables import TELLING

    frame = frame_of(place)
    by = next(name for name in TELLING if name in set(frame["by"]))
    mine = frame[(frame["by"] == by) & (frame["rows"] > 0)].sort_values(["accuracy", "class"])
    worst = mine.head(MOST_WORST)
    title = f"{by}: {'classes' if len(worst) == len(mine) else f'the worst {len(worst)} of {len(mine)} classes'}"
    table = Table(title=title, title_justify="left")
    for column in ("class", "rows", "accuracy", "most often taken for (rows)"):
        _add_column(table, column, right=column in ("rows", "accuracy"))
    for name, rows, accuracy, other, count in zip(
        *(worst[column] for column in ("class", "rows", "accuracy", "confused_with", "confused_rows")), strict=True
    ):
        table.add_row(_plain(name), f"{rows:,}", f"{accuracy:.4f}", _plain(f"{other} ({count:,})") if count else "-")
    Console().print(table)
    _say(f"every class, also as .csv and in MLflow: {place}")


def show_embed(made: Embeddings) -> None:
    """How many embeddings were written."""
    _say(f"{made.path}: {made.rows:,} embeddings of {made.dim} numbers")


def show_export(said: str) -> None:
    """How the file is loaded."""
    _say(said)


def show_cluster(made: Clustering) -> None:
    """What a clustering came to."""
    report = made.report
    known = (
        "clusters", "minimum", "smallest", "largest", "maximum", "below_minimum", "above_maximum", "mean_similarity", "moved",
        "mean_repair_cost", "mean_optimality_gap", "changed_since_start",
    )  # fmt: skip
    _head_table(f"{made.path}  {report['rows']:,} rows of {report['dim']} numbers", report["heads"], known)
    if "parents" in report:
        told = report["parents"]
        off = told["below_minimum"] + told.get("above_maximum", 0)
        _say(f"{told['clusters']:,} parents of {told['smallest']:,} to {told['largest']:,} rows, {off:,} out of their bounds")
    from pipelines.tracking.about.page import page_in_words

    _say(f"labels, centers, sizes and report.json: {made.path}")
    _say(page_in_words(made.folder.address))


def show_assign(made: Assignment) -> None:
    """What the labels came to, a line a head."""
    report = made.report
    rate = f"{report['rows']:,} rows of {report['dim']} numbers, {report['rows_per_second']:,.0f} a second"
    _head_table(f"{made.path}  {rate}", report["heads"], ASSIGNED_COLUMNS)
    rule = "similarity plus price" if report["prices"] else "similarity alone"
    _say(f"a label is the argmax of {rule}; labels, sizes.parquet and assigned.json: {made.path}")
    if "moved_share" in report["heads"][0]:
        _say("moved share: rows, of all, that would have to change cluster for the shares to be those of the run's own rows")


def show_join(made: JoinedLabels) -> None:
    """How many rows have their labels beside them."""
    _say(f"{made.path}: {counted(made.rows, 'row')} in {counted(made.files, 'file')} with {', '.join(made.columns)}")


def show_quality(made: Quality) -> None:
    """The figures of each head, and the clusters that may be one."""
    report = made.report
    title = f"{made.path}  {report['rows']:,} rows, silhouettes of {report['sample']:,}"
    _head_table(title, report["heads"], QUALITY_COLUMNS)
    unit = "cosine" if report["metric"] == "cosine" else "distance"
    for head in report["heads"]:
        if pairs := head["closest_pairs"][:MOST_PAIRS]:
            said = ", ".join(f"{a} and {b} ({close:.3f})" for a, b, close in pairs)
            _say(f"head {head['head']}, closest centers by {unit}, which may be one cluster: {said}")
    _say(f"quality.json, quality.parquet and pictures: {made.path}; also in MLflow:")
    _say(made.made.page)


def _head_table(title: str, heads: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    """A line a figure that heads have, and a column a head: names of figures are long, and heads are few."""
    table = Table()
    _add_column(table, "")
    for number, head in enumerate(heads):
        _add_column(table, f"head {head.get('head', number)}", right=True)
    for name in (name for name in names if name != "head" and heads[0].get(name) is not None):
        values = (head[name] for head in heads)
        shown = ("-" if one is None else f"{one:,.4g}" if isinstance(one, float) else f"{one:,}" for one in values)
        table.add_row(name.replace("_", " "), *shown)
    Console().print(_plain(title), soft_wrap=True, highlight=False)  # as a title it would be as narrow as the table
    Console().print(table)


def show_curate(made: Curated) -> None:
    """How many rows the clusters gave."""
    taken, short = made.sample.taken, made.sample.short
    table = Table(title=_plain(f"{made.path}  {made.rows:,} of {made.sample.sizes.sum():,} rows"), title_justify="left")
    for column in ("clusters", "rows of each, least", "most", "clusters with fewer than that"):
        _add_column(table, column, right=True)
    table.add_row(*(f"{value:,}" for value in (len(taken), taken.min(), taken.max(), short)))
    Console().print(table)


def show_dedup(made: Deduplicated) -> None:
    """How many rows are near-duplicates."""
    report = made.report
    table = Table(
        title=_plain(f"{made.path}  cosine {report['threshold']} or more, kept: {report['keep']}"), title_justify="left"
    )
    columns = ("rows", "kept", "removed", "groups", "largest_group", "clusters", "largest_cluster", "seconds")
    for column in columns:
        _add_column(table, column.replace("_", " "), right=True)
    table.add_row(*("all pairs" if report[name] is None else f"{report[name]:,.0f}" for name in columns))
    Console().print(table)
    if report["clusters"] is not None:
        beside = f", and in the {report['neighbours']} next to it" if report["neighbours"] else ""
        _say(f"rows were compared in their cluster{beside}; a pair that a border cuts otherwise is missed")


def show_centers(said: str) -> None:
    """How they are asked."""
    _say(said)


def show_compare(made: Comparison, *, sizes: bool = False) -> None:
    """The table of settings, and what can be said of it."""
    from tune.comparison.tables import show

    show(made.compared, sizes=sizes)
    _say(f"page: {made.report}")


show_sweep = show_compare


def show_doctor(made: Checkup) -> None:
    """A line a check, of all nodes where they say the same; then notes and faults, and exit code 1 where there are faults."""
    table = Table(box=None)
    for column in ("check", "state", "where", "what"):
        _add_column(table, column)
    for check, results in made.table.groupby("check", sort=False):
        for (state, found), same in results.groupby(["state", "found"], sort=False):
            nodes = [node for node in same["node"] if node]
            where = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes" if nodes else ""
            table.add_row(*(_plain(str(text)) for text in (check, state, where, found)), style=STYLES.get(str(state), ""))
    Console().print(table)
    for title, sentences in (("note", made.notes), ("FAULT", made.faults)):
        for sentence in sentences:
            _say(f"{title}: {sentence}")
    if made.healthy:
        untried = " of what was tried" if any(one.state == "not tried" for one in made.findings) else ""
        _say(f"all{untried} is well" if not made.notes else "nothing stands in the way of a job")
        return
    sys.exit(1)


def show_clean(made: Cleaning) -> None:
    """A line a file or folder with what it takes, then what stays, and whether anything was deleted."""
    table = Table(box=None)
    for column in ("what", "path", "why", "size"):
        _add_column(table, column, right=column == "size")
    for what, path, why, size in made.table.itertuples(index=False, name=None):
        table.add_row(str(what), _plain(str(path) or "."), str(why), in_bytes(size))
    if len(made.table):
        Console().print(table)
    for note in made.notes:
        _say(note)
    many = f"{len(made.table):,} files and folders, {in_bytes(made.bytes)}, of {made.path}"
    if not len(made.table):
        _say(f"nothing of {made.path} can go")
    else:
        _say(f"deleted: {many}" if made.deleted else f"nothing was deleted; --yes deletes {many}")


def show_recipes(listed: pd.DataFrame) -> None:
    """A line a recipe."""
    table = Table(box=None)
    for column in ("name", "command", "what it is for"):
        _add_column(table, column)
    for name, recipe in listed.iterrows():
        table.add_row(str(name), recipe["command"], recipe["about"])
    Console().print(table)
    _say(f"files, to copy and change: {Path(listed['path'].iloc[0]).parent}")
