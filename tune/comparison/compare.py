"""`quorum compare`: read runs, compare them, write the table and pictures, and keep them with the sweep in MLflow."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files.location import is_on_disk, path_on_disk
from pipelines.files.storage_errors import storage_sentence
from pipelines.tracking.about.page import page_in_words
from pipelines.tracking.figures import ACCURACY_EMA, EPOCH, EVALUATE, IMAGES_SEEN, KNN, SCORES, TEST, VAL, score, usual_mode
from pipelines.tracking.mlflow_store import RunAddress
from pipelines.tracking.old_figures import present_name, refuse_old
from tune.comparison import charts as pictures
from tune.comparison.comparison import CONSTRAINT, SIZES, Comparison, build, without_scores
from tune.comparison.mlflow_runs import Found, Record, find, is_kept, keep_runs, read, reading, refuse_unknown
from tune.comparison.page.report import NAME as REPORT
from tune.comparison.page.report import write_report
from tune.comparison.tables import has_key_charts, write_tables, write_text

# Where no sweep and no option names one, the first of those that most runs have decides.
METRICS = tuple(score(split, name) for split in (VAL, TEST) for name in (ACCURACY_EMA, KNN))
FILES = ("comparison.txt", "settings.csv", "runs.csv", "by-key.png", "importance.png", "cluster-sizes.png", REPORT)
ARTIFACTS = "comparison"
BEGUN = re.compile(rf"\.{ARTIFACTS}-[a-z0-9_]{{8}}")
LONGEST = 3600.0  # s, that a comparison takes to write its files
MOST_CHARACTERS = 60  # of a chart's title; the name of a run stands for a longer one


def compare(
    targets: Sequence[str], uri: str | None = None, metric: str | None = None, mode: str | None = None, to: str | None = None,
    *, final: bool = False, keep: str | None = None,
) -> Comparison:  # fmt: skip
    """Compare the runs that the targets name, write the results to a folder and, for one sweep, to its MLflow run.

    Args:
        targets: experiments, ids of runs or sweeps, folders of runs.
        uri: of the MLflow store, or a file of kept runs; see `find`.
        metric: figure to compare; default: the sweep's, else the first of `METRICS` that most runs have.
        mode: `max` or `min`; default: the sweep's for its own metric, else as `usual_mode` has it.
        to: folder of the results, which replace those of an earlier comparison there; default: `outputs/comparison-NAME`.
        final: add what `quorum evaluate` found on the test split, which chooses nothing.
        keep: file to add the runs to.

    Raises:
        UserError: for targets or a metric that are not there, or when nothing has finished.
    """
    if metric:
        refuse_old(metric)
    if to is not None and not is_on_disk(to):
        raise UserError(f"to is {to}; pictures are drawn on this machine: give a folder of it")
    found = find(targets, uri)
    if keep is not None:
        found.notes.append(keep_runs(found, keep))
    if metric:
        refuse_unknown(metric, found.names)
    compared = _of_two(found, metric, mode, final) if len(found.runs) == 2 else _scored(found, metric, mode, final)
    named = to or "outputs/comparison-" + re.sub(r"[^\w.-]+", "-", found.name)
    folder = path_on_disk(named).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _without_begun(folder)
        with tempfile.TemporaryDirectory(prefix=f".{ARTIFACTS}-", dir=folder) as aside:
            compared = _with_pair(compared, found, Path(aside)) if len(found.runs) == 2 else compared
            files = _moved(_write(compared, Path(aside)), folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {storage_sentence(error)}, or give another --to") from error
    notes = (*compared.notes, f"files: {folder}{_keep(found, files)}")
    pair = compared.pair and compared.pair.moved(folder)
    return replace(compared, notes=notes, folder=folder, files=tuple(files), pair=pair)


def _scored(
    found: Found, metric: str | None, mode: str | None, final: bool, records: Sequence[Record] | None = None
) -> Comparison:  # fmt: skip
    """The runs by a metric, which is chosen where none is given; arguments as of `compare`."""
    metric = metric or _metric_of(found)
    if metric is None:
        raise UserError(_no_metric(found))
    mode = mode or _mode_of(found, metric)
    if records is None:
        finals = (_final(metric),) if final else ()
        records = read(found, tuple(dict.fromkeys((metric, EPOCH, IMAGES_SEEN, *SIZES, *finals))))
    return build(found.name, records, metric, mode, found.notes, _final(metric) if final else None)


def _of_two(found: Found, metric: str | None, mode: str | None, final: bool) -> Comparison:
    """Two runs with all their figures; without a score they still have settings, curves and clusters."""
    metric, records = metric or _metric_of(found), read(found, sorted(found.names))
    try:
        return _scored(found, metric, mode, final, records)
    except UserError as error:
        why = str(error) if metric else f"no run has {' or '.join(METRICS)}; give another --metric"
        return without_scores(found.name, records, [*found.notes, f"no scores are compared: {why}"])


def _with_pair(compared: Comparison, found: Found, folder: Path) -> Comparison:
    """What else there is of two runs; its sentences come after warnings and before the rest."""
    from tune.comparison.two_runs.pair import compare_pair

    pair = compare_pair(found, [record for record, _ in compared.runs], folder)
    notes = sorted((*pair.notes, *compared.notes), key=lambda note: not note.startswith("warning"))
    return replace(compared, pair=pair, notes=tuple(notes))


def _final(metric: str) -> str:
    """The score on the test split that belongs to a metric: its own, or kNN's."""
    name = metric.rpartition("/")[2]
    return f"{EVALUATE}/{score(TEST, name if name in SCORES else KNN)}"


def _tags(found: Found, name: str) -> set[str]:
    return {run.data.tags[name] for _, run in found.sweeps if name in run.data.tags}


def _ranked_by(found: Found) -> set[str]:
    """What the sweeps rank by; those of version 0.1 noted an old name."""
    return {present_name(metric) for metric in _tags(found, "quorum.metric")}


def _metric_of(found: Found) -> str | None:
    """What the runs are compared by; `None` where none of them has any of these."""
    tagged = _ranked_by(found)
    if len(tagged) > 1:
        raise UserError(f"the sweeps rank by different figures ({', '.join(sorted(tagged))}); give --metric")
    having = {name: sum(name in present for present in found.names_of_runs) for name in METRICS}
    known = [*tagged, *(name for name in METRICS if having[name] and having[name] == max(having.values()))]
    return known[0] if known else None


def _no_metric(found: Found) -> str:
    return f"no run has {' or '.join(METRICS)}; give --metric, one of {', '.join(sorted(found.names)) or 'none yet'}"


def _mode_of(found: Found, metric: str) -> str:
    modes = _tags(found, "quorum.mode") if _ranked_by(found) == {metric} else set()
    if len(modes) == 1 and modes <= {"max", "min"}:
        return modes.pop()
    return usual_mode(metric)


def _moved(files: Sequence[Path], folder: Path) -> list[Path]:
    """Move files, once all of them are whole, into the place of an earlier comparison, of which nothing stays beside them."""
    had_one = all((folder / name).is_file() for name in (FILES[0], REPORT))
    moved = [file.replace(folder / file.name) for file in files]
    if had_one:
        _without_earlier(folder, moved)
    return moved


def _without_earlier(folder: Path, files: Sequence[Path]) -> None:
    """Remove what an earlier comparison of this folder has left, of which these files are not."""
    from tune.comparison.two_runs.pair import WRITTEN

    for pattern in (*FILES, *WRITTEN):
        for file in folder.glob(pattern):
            if file not in files and file.is_file():
                file.unlink()


def _without_begun(folder: Path) -> None:
    """Remove what comparisons of this folder that were killed have begun; one that is at work is younger."""
    for begun in folder.iterdir():
        with suppress(OSError):  # it has ended, or is somebody else's
            if BEGUN.fullmatch(begun.name) and not begun.is_symlink() and time.time() - begun.stat().st_mtime > LONGEST:
                shutil.rmtree(begun)


def _write(compared: Comparison, folder: Path) -> list[Path]:
    text, settings, runs, by_key, shares, sizes, report = (folder / name for name in FILES)
    write_text(compared, text)
    write_tables(compared, settings, runs)
    files = [text, settings, runs]
    scored = [(record.point, row.value) for record, row in compared.runs if row]
    if compared.keys and scored and has_key_charts(compared):
        pictures.metric_by_key(compared.metric, compared.keys, scored, by_key)
        files.append(by_key)
    if compared.importance and has_key_charts(compared):
        pictures.importance_bars(compared.metric, compared.importance, shares)
        files.append(shares)
    if curves := size_curves(compared):
        pictures.cluster_sizes(curves, sizes)
        files.append(sizes)
    write_report(compared, curves, report)
    return [*files, *(compared.pair.files if compared.pair else []), report]


def size_curves(compared: Comparison) -> dict[str, list[pictures.SizeCurve]]:
    """Cluster sizes of each run that has a score over its epochs, by setting, the best setting first."""
    curves: dict[str, list[pictures.SizeCurve]] = {}
    for index, line in enumerate(compared.lines):
        label = compared.named(index) or "all runs"
        label = label if len(label) < MOST_CHARACTERS else line.runs[0][0].name
        mine = [curve for record, row in line.runs if row and (curve := _size_curve(record))]
        if mine:
            curves[label] = mine
    return curves


def _size_curve(record: Record) -> pictures.SizeCurve | None:
    steps = list(record.series.get(SIZES[0], {}))
    columns = [[value for step in steps if (value := record.at(name, step)) is not None] for name in (EPOCH, *SIZES)]
    whole = bool(steps) and CONSTRAINT in record.last and all(len(column) == len(steps) for column in columns)
    return pictures.SizeCurve(record.last[CONSTRAINT], *columns) if whole else None


def _keep(found: Found, files: Sequence[Path]) -> str:
    """Log the files to the sweep's run, where there is one; says what became of it."""
    parent = _only_sweep(found)
    if parent is None or is_kept(parent[0]):
        return ""
    store, run = parent
    try:
        with reading(store) as client:
            for file in files:
                client.log_artifact(run.info.run_id, str(file), ARTIFACTS)
    except UserError as error:  # the results themselves are there
        return f"; warning: not kept with the sweep, {error}"
    address = RunAddress(store, run.info.experiment_id, run.info.run_id)
    return f", and {ARTIFACTS}/ of the sweep {run.info.run_id}: {page_in_words(address)}"


def _only_sweep(found: Found) -> tuple[str, Any] | None:
    """The sweep whose trials, and nothing else, were compared."""
    if len(found.sweeps) != 1:
        return None
    store, parent = found.sweeps[0]
    mine = all(run.data.tags.get("mlflow.parentRunId") == parent.info.run_id for _, run in found.runs)
    return (store, parent) if mine else None
