"""The scores of a study's runs, read from the file of kept runs; what does not count is said."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.science.configurations import EXPERIMENT, matters
from benchmarks.science.inputs import other_inputs, unlike_most
from benchmarks.science.study import Planned, Study
from pipelines.config.plain_values import flatten
from tune.comparison.mlflow_runs import Found, find, read, reading


@dataclass(frozen=True)
class Scores:
    """What the kept runs say.

    Attributes:
        of_runs: the score of each run that counts.
        left_out: sentences about runs that do not.
    """

    of_runs: dict[Planned, float]
    left_out: list[str]

    def of(self, cell: str, arm: str) -> dict[int, float]:
        """Scores of an arm in a cell by seed."""
        return {run.seed: value for run, value in self.of_runs.items() if (run.cell, run.arm) == (cell, arm)}


def read_scores(study: Study, file: Path) -> Scores:
    """The scores of a study's finished runs. Of two runs of one name the later counts.

    Raises:
        UserError: for a file that is not there, or holds something else.
    """
    planned = {run.name: run for run in study.runs()}
    kept = [(store, run) for store, run in _kept(file) if run.info.run_name in planned]
    names = {run.info.run_id: run.info.run_name for _, run in kept}
    params = {run.info.run_id: run.data.params for _, run in kept}
    of_runs: dict[Planned, float] = {}
    right, said = [], []
    for record in read(Found(study.name, kept), (study.score.figure,)):  # in the order of their start
        run_id = record.address.run_id
        run = planned[names[run_id]]
        if other := [*_others(study.settings_of(run), params[run_id]), *other_inputs(study, run, params[run_id])]:
            said.append(f"{run.name} has other settings than the study: {'; '.join(other)}")
        else:
            right.append((run, params[run_id], record))
    for (run, _, record), unlike in zip(right, unlike_most(study, [(run, mine) for run, mine, _ in right]), strict=True):
        values = list(record.series.get(study.score.figure, {}).values())
        if unlike:
            said.append(f"{run.name} has other inputs than most runs that should have the same: {'; '.join(unlike)}")
        elif record.outcome != "finished" or len(values) < study.score.last:
            said.append(f"{run.name} {record.outcome} with {len(values)} values of {study.score.figure}")
        else:
            if run in of_runs:
                said.append(f"{run.name} was trained more than once: the last counts")
            of_runs[run] = sum(values[-study.score.last :]) / study.score.last
    return Scores(of_runs, said)


def _kept(file: Path) -> list[tuple[str, Any]]:
    """All kept runs of studies; none of a file that no study's run was added to yet."""
    with reading(str(file)) as client:
        there = client.get_experiment_by_name(EXPERIMENT) is not None
    return find([EXPERIMENT], str(file)).runs if there else []


def _others(settings: Mapping[str, Any], params: Mapping[str, str]) -> list[str]:
    """Which settings of a study a run was not trained with; what a recipe says besides may change with the versions."""
    wanted = {key: value for key, value in flatten(dict(settings)).items() if matters(key)}
    return [
        f"{key} {params.get(key)}, not {value}" for key, value in wanted.items() if not _holds(_value(params.get(key)), value)
    ]


def _value(text: str | None) -> Any:
    """The value of a parameter, which MLflow keeps as text."""
    try:
        return None if text is None else ast.literal_eval(text)
    except (ValueError, SyntaxError):  # text as it is
        return text


def _holds(kept: Any, wanted: Any) -> bool:
    """Whether a kept value has all that is wanted; a later version may keep more keys of a view."""
    if isinstance(wanted, Mapping):
        return isinstance(kept, Mapping) and all(_holds(kept.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(kept, list) and len(kept) == len(wanted) and all(map(_holds, kept, wanted))
    return bool(kept == wanted)
