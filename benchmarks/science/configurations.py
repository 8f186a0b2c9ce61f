"""From a planned run to the configuration that trains it, and whether a run that is there was trained by the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.science.read_studies import origin_cell
from benchmarks.science.study import Planned, Study
from pipelines.config.plain_values import flatten
from pipelines.config.recipe import read_recipe, read_stored
from pipelines.config.training_config import PretrainConfig, SemisupConfig, TrainingConfig
from pipelines.runs.run_folder import Run
from pipelines.tracking.journal import newest_status, read_journal

KINDS: dict[str, type[TrainingConfig]] = {kind.kind: kind for kind in (PretrainConfig, SemisupConfig)}
EXPERIMENT = "science"
PLACES = ("data", "labels", "storage", "name", "init_from")  # of this machine; `inputs` looks at what lies there
OUTSIDE = (  # how a run is recorded, and what it has of a machine: no result depends on it
    "tracking.", "compute.threads", "compute.cpus_per_worker", "compute.gpus_per_worker", "compute.max_failures", "compute.grace",
)  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where data sets and runs lie, and settings of all runs on top of the studies' own."""

    data: Path
    storage: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def folder(self, run: Planned) -> Path:
        """Of a run."""
        return self.storage / run.name


def configuration(study: Study, studies: Mapping[str, Study], run: Planned, places: Places) -> TrainingConfig:
    """The configuration of a run.

    Raises:
        UserError: for a recipe, key or value that is not valid.
    """
    cell = study.cells[run.cell]
    given: dict[str, Any] = {
        "data": str(places.data / cell.data), "storage": str(places.storage), "name": run.name, "seed": run.seed,
        "tracking.experiment": EXPERIMENT, "tracking.models": "none",
    }  # fmt: skip
    if cell.per_class is not None:
        given["labels"] = str(places.data / cell.labels.format(seed=run.seed))
    if origin := origin_of(study, studies, run):
        given["init_from"] = str(places.folder(origin))
    return read_recipe(cell.recipe, KINDS[study.command], {**given, **study.settings_of(run), **places.settings})


def origin_of(study: Study, studies: Mapping[str, Study], run: Planned) -> Planned | None:
    """The run that a run starts from."""
    origin = study.arms[run.arm].origin
    if origin is None:
        return None
    cell = origin_cell(study, run.cell, origin, studies[origin.study])
    return Planned(origin.study, cell, origin.arm, run.seed if origin.seed is None else origin.seed)


def differences(wanted: TrainingConfig, folder: Path) -> list[str]:
    """How the configuration of the run in a folder differs from the wanted one, in words: `epochs 2, not 25`."""
    kept, asked = (_comparable(config) for config in (stored(folder, type(wanted)), wanted))
    keys = sorted({*kept, *asked})
    return [f"{key} {kept.get(key)}, not {asked.get(key)}" for key in keys if kept.get(key) != asked.get(key)]


def matters(key: str) -> bool:
    """Whether runs that differ in a setting are of different settings."""
    return key not in PLACES and not key.startswith(OUTSIDE)


def stored(folder: Path, kind: type[TrainingConfig]) -> TrainingConfig:
    """The configuration of the run in a folder.

    Raises:
        UserError: for a folder that holds none, or one of another kind.
    """
    return read_stored(Run.open(str(folder), kind=kind.kind).config_file(), kind)


def is_finished(folder: Path) -> bool:
    """Whether the run in a folder, or none, came to its end."""
    return newest_status(read_journal(folder)) == "FINISHED"


def _comparable(config: TrainingConfig) -> dict[str, Any]:
    flat = flatten(config.to_dict())
    return {key: value for key, value in flat.items() if matters(key)}
