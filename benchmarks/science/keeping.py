"""Finished runs, added to the file of kept runs that the tables are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.science.configurations import Places, configuration, differences, is_finished
from benchmarks.science.inputs import other_inputs, recorded
from benchmarks.science.study import Study
from pipelines.errors import UserError
from pipelines.runs.run_folder import RUN_FILE
from tune.comparison.mlflow_runs import find, keep_runs

KEPT = Path("docs/science/runs.parquet")


def keep(studies: Mapping[str, Study], storage: Path, file: Path = KEPT) -> list[str]:
    """Add the finished runs of the studies in a folder to a file; says what was kept and what was left out.

    Raises:
        UserError: when there is none, or for a file that holds something else.
    """
    places = Places(storage, storage)
    kept, said = [], []
    for study in studies.values():
        for run in study.runs():
            folder = places.folder(run)
            if not (folder / RUN_FILE).exists():
                continue
            if not is_finished(folder):
                said.append(f"{run.name} is left out: it is not finished")
            elif other := [
                *differences(configuration(study, studies, run, places), folder),
                *other_inputs(study, run, recorded(folder)),
            ]:
                said.append(f"{run.name} is left out: it has other settings than its study ({'; '.join(other)})")
            else:
                kept.append(str(folder))
    said += [f"{name} is left out: no study asks for it" for name in _strange(studies, storage)]
    if not kept:
        raise UserError(". ".join([f"{storage} holds no finished run of a study", *said]))
    file.parent.mkdir(parents=True, exist_ok=True)
    return [*said, keep_runs(find(kept), str(file))]


def _strange(studies: Mapping[str, Study], storage: Path) -> Iterator[str]:
    names = {run.name for study in studies.values() for run in study.runs()}
    for place in sorted(storage.glob(f"*/{RUN_FILE}")):
        if place.parent.name not in names:
            yield place.parent.name
