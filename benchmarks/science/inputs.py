"""What a run was trained on besides its settings: whether data, labels and start are those that its study asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.science.configurations import KINDS, Places, configuration, is_finished, matters, origin_of
from benchmarks.science.study import Planned, Study
from pipelines.config.recipe import read_values
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import rule_per_class
from pipelines.runs.trained_model import initial_weights
from tune.comparison.mlflow_runs import find

DATA, START = "data", "init_from"  # parameters of a run in MLflow
FINGERPRINT, RULE, COUNT, DIGEST = "data.fingerprint", "labels.rule", "labels.count", "init_from.digest"
Trained = tuple[Planned, Mapping[str, str]]  # a run and its parameters


def recorded(folder: Path) -> dict[str, str]:
    """The parameters that MLflow has of the run in a folder.

    Raises:
        UserError: when its store is not there, or does not have the run.
    """
    ((_, run),) = find([str(folder)]).runs
    return dict(run.data.params)


def label_rule(study: Study, run: Planned) -> str | None:
    """How the labels that a run sees are chosen, in words; `None` for a study without labels."""
    cell = study.cells[run.cell]
    return None if cell.per_class is None else rule_per_class(cell.per_class, run.seed, at_most=cell.at_most)


def other_inputs(study: Study, run: Planned, params: Mapping[str, str]) -> list[str]:
    """Which inputs of a run its study does not ask for, by names and rules: `labels.rule 4 per class, seed 1, not ...`."""
    found = [_other(RULE, params.get(RULE), label_rule(study, run)), _other_start(study, run, params.get(START))]
    data = study.cells[run.cell].data
    if DATA in params and not _ends_with(params[DATA], data):
        found.append(_other(DATA, params[DATA], data))
    return [said for said in found if said]


def changed_inputs(
    study: Study, studies: Mapping[str, Study], run: Planned, places: Places, params: Mapping[str, str]
) -> list[str]:  # fmt: skip
    """Which inputs of a run have another content than what lies at its places now; what is not there is not looked at."""
    found = []
    data, origin = places.data / study.cells[run.cell].data, origin_of(study, studies, run)
    if data.exists():
        found.append(_other(FINGERPRINT, params.get(FINGERPRINT), Dataset.open(str(data)).fingerprint))
    if origin and is_finished(places.folder(origin)):
        start = initial_weights(configuration(study, studies, run, places))
        found.append(_other(DIGEST, params.get(DIGEST), start.digest if start else None))
    return [said for said in found if said]


def unlike_most(study: Study, trained: Sequence[Trained]) -> list[list[str]]:
    """Which inputs of each run differ from those of most runs that should have the same; of as many the latest hold.

    Args:
        study: of the runs.
        trained: in the order of their start.
    """
    counts: dict[tuple[str, ...], Counter[str | None]] = {}
    for run, params in reversed(trained):
        for name, group in _groups(study, run, params):
            counts.setdefault((name, *group), Counter())[params.get(name)] += 1
    most = {group: counter.most_common(1)[0][0] for group, counter in counts.items()}  # of as many the first that was counted
    return [
        [said for name, group in _groups(study, run, params) if (said := _other(name, params.get(name), most[name, *group]))]
        for run, params in trained
    ]


def _groups(study: Study, run: Planned, params: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Parameters of contents, and of numbers that no study sets; each with what names the runs that have the same."""
    cell, origin = study.cells[run.cell], study.arms[run.arm].origin
    yield FINGERPRINT, (cell.data,)
    yield COUNT, (run.cell,)
    for name in sorted(params.keys() - study.settings_of(run).keys()):
        if name.startswith("compute.") and matters(name):
            yield name, (run.cell,)
    if origin:
        yield DIGEST, (origin.study, origin.arm, origin.cell or cell.data, str(_seed(study, run)))


def _seed(study: Study, run: Planned) -> int:
    """Of the run that a run starts from."""
    origin = study.arms[run.arm].origin
    return run.seed if origin is None or origin.seed is None else origin.seed


def _other_start(study: Study, run: Planned, kept: str | None) -> str:
    cell, origin = study.cells[run.cell], study.arms[run.arm].origin
    kept = None if kept == str(None) else kept
    if origin is None:
        wanted = study.settings_of(run).get(START, read_values(cell.recipe, KINDS[study.command]).get(START))
        return "" if kept and wanted and _ends_with(kept, wanted) else _other(START, kept, wanted)
    found = Path(kept or "").name
    named = found.split(".")  # as `Planned.name` has it
    its_cell = origin.cell or (named[1] if len(named) > 1 else "CELL")  # whether that has the data its digest tells
    return _other(START, found or None, Planned(origin.study, its_cell, origin.arm, _seed(study, run)).name)


def _ends_with(place: str, name: str) -> bool:
    """Whether a place is the named one, wherever that lies."""
    wanted = Path(name).parts
    return Path(place).parts[-len(wanted) :] == wanted


def _other(name: str, kept: str | None, wanted: str | None) -> str:
    return "" if kept == wanted else f"{name} {kept}, not {wanted}"
