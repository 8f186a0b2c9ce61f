"""Two runs compared beyond their scores: settings that differ, curves over one another, clusters of one in those of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.errors import UserError
from pipelines.files.storage_errors import storage_sentence
from tune.comparison.csv_files import write_csv
from tune.comparison.mlflow_runs import Found, Record
from tune.comparison.two_runs.curves import Curves, curves_of, draw_curves
from tune.comparison.two_runs.matched_heads import MatchedHead, match_heads, matching_columns, write_matches
from tune.comparison.two_runs.run_clusters import RunClusters
from tune.comparison.two_runs.sheets import matched_sheet, members_of_pairs
from tune.points import differences

DIFFERENCES, MATCHES, CURVES, MATCHED = "differences.csv", "clusters.csv", "curves-{}.png", "matched-head{}.png"
WRITTEN = (DIFFERENCES, MATCHES, CURVES.format("*"), MATCHED.format("*"))


@dataclass(frozen=True)
class Pair:
    """What was found of two runs.

    Attributes:
        names: of the runs, as given; with the start of their ids where they share one.
        settings: keys that differ, with the values of both.
        curves: figures that both have.
        heads: whose clusters were matched.
        sheets: pictures of matched clusters.
        notes: sentences: how clusters agree, and what could not be compared.
        files: that were written.
    """

    names: tuple[str, str]
    settings: list[tuple[str, list[str]]]
    curves: Curves
    heads: list[MatchedHead] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of each head's rows."""
        return matching_columns(self.names)

    def moved(self, folder: Path) -> Pair:
        """The same with its files in a folder."""
        sheets, files = ([folder / path.name for path in paths] for paths in (self.sheets, self.files))
        return replace(self, sheets=sheets, files=files)


def compare_pair(found: Found, records: Sequence[Record], folder: Path) -> Pair:
    """Compare two runs and write what was found.

    What cannot be compared is a sentence of the notes, and the rest is compared all the same.

    Args:
        found: the two runs, in the order in which they were given.
        records: of them, in any order, with the histories of all their figures.
        folder: that is there, for the files.

    Raises:
        OSError: for a file that cannot be written.
    """
    by_id = {record.address.run_id: record for record in records}
    runs = [run for _, run in found.runs]
    first, second = (by_id[run.info.run_id] for run in runs)
    names = _names(first, second)
    params = [run.data.params | ({"command": run.data.tags["kind"]} if "kind" in run.data.tags else {}) for run in runs]
    curves = curves_of((first, second), names)
    pair = Pair(names, differences(params), curves, notes=[*curves.notes])
    if not pair.settings:
        pair.notes.append(f"no setting of {names[0]} is another than of {names[1]}")
    _write_settings(pair, folder / DIFFERENCES)
    for section, figures in curves.sections.items():
        path = folder / CURVES.format(section)
        draw_curves({name: curves.points[name] for name in figures}, curves.axis, names, path)
        pair.files.append(path)
    _match(pair, (first, second), folder)
    return pair


def _names(first: Record, second: Record) -> tuple[str, str]:
    if first.name != second.name:
        return first.name, second.name
    digits = next((n for n in range(6, 32) if first.address.run_id[:n] != second.address.run_id[:n]), 32)
    one, other = (f"{record.name} ({record.address.run_id[:digits]})" for record in (first, second))
    return one, other


def _write_settings(pair: Pair, path: Path) -> None:
    write_csv(path, [["setting", *pair.names], *([key, *values] for key, values in pair.settings)])
    pair.files.append(path)


def _match(pair: Pair, records: Sequence[Record], folder: Path) -> None:
    """Match the clusters, and draw them where the images are there."""
    clusters = []
    for record, name in zip(records, pair.names, strict=True):
        try:
            clusters.append(RunClusters.of(record.folder))
        except (UserError, OSError) as error:
            pair.notes.append(f"clusters are not matched, for {name}: {_in_words(error)}")
    if len(clusters) < 2:
        return
    try:
        heads, said = match_heads(clusters[0], clusters[1], pair.names)
    except UserError as error:
        pair.notes.append(f"clusters are not matched: {error}")
        return
    pair.heads.extend(heads)
    pair.notes.extend(said)
    if heads:
        write_matches(heads, pair.names, folder / MATCHES)
        pair.files.append(folder / MATCHES)
        _draw(pair, clusters, folder)


def _in_words(error: UserError | OSError) -> str:
    return storage_sentence(error) if isinstance(error, OSError) else str(error)


def _draw(pair: Pair, clusters: Sequence[RunClusters], folder: Path) -> None:
    images = clusters[0].images or clusters[1].images
    if images is None:
        what = "rows are vectors without images" if clusters[0].split is None else "the images are not where they were any more"
        pair.notes.append(f"no sheets of matched clusters: {what}")
        return
    for head in pair.heads:
        path = folder / MATCHED.format(head.number)
        try:
            members = members_of_pairs(head, images)
        except (UserError, OSError) as error:  # shards that are damaged, or storage that does not answer
            pair.notes.append(f"no sheet of matched clusters of head {head.number}: {_in_words(error)}")
            continue
        matched_sheet(head, members, pair.names, path)
        if left_out := len(head.overlap.pairs) - len(members):
            pair.notes.append(f"{path.name} shows the {len(members)} pairs that share the most; {left_out} more are in {MATCHES}")
        pair.sheets.append(path)
        pair.files.append(path)
