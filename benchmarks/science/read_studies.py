"""The studies of studies.yaml. Keys, arms and cells that are not known are refused, with the nearest valid name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml

from benchmarks.science.study import Arm, Cell, Origin, Pair, Score, Study, known
from pipelines.config.key_types import alternatives, key_types, wanted
from pipelines.errors import UserError

FILE = Path(__file__).with_name("studies.yaml")
PARTS = ("settings", "studies")  # of the file; settings are there for others to refer to
COMMANDS = ("pretrain", "semisup")
INIT_FROM = "init_from"
Part = TypeVar("Part")


def read_studies(file: Path = FILE) -> dict[str, Study]:
    """All studies by name.

    Raises:
        UserError: for a file that is no YAML, or a key or name in it that cannot be.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    for part in _mapping(content, str(file)):
        known(part, PARTS, f"{file}: key")
    studies = {name: _study(name, values) for name, values in _mapping(content.get("studies"), f"{file}: studies").items()}
    for study in studies.values():
        _check_origins(study, studies)
    return studies


def find_study(name: str, file: Path = FILE) -> Study:
    """The study of a name.

    Raises:
        UserError: when there is none, with the nearest.
    """
    studies = read_studies(file)
    known(name, studies, "study")
    return studies[name]


def _study(name: Any, values: Any) -> Study:
    where = f"study {name}"
    if not isinstance(name, str) or "." in name:
        raise UserError(f"{where}: dots part the names of its runs; leave them out of its own")
    given = {"name": name, **_mapping(values, where)}
    study = _part(Study, given, where)
    known(study.command, COMMANDS, f"{where}: command")
    _check_seeds(study.seeds, where)
    study = replace(
        study,
        score=_part(Score, study.score, f"{where}, score"),
        cells=_parts(study.cells, f"{where}, cell", lambda each, place: _part(Cell, each, place)),
        arms=_parts(study.arms, f"{where}, arm", _arm),
        pairs=[_part(Pair, each, f"{where}, pairs") for each in study.pairs],
    )
    if study.score.last < 1:
        raise UserError(f"{where}, score: last is {study.score.last}; give 1 epoch or more")
    for cell_name, cell in study.cells.items():
        if cell.seeds is not None:
            _check_seeds(cell.seeds, f"{where}, cell {cell_name}")
        for arm in cell.of_arms:
            known(arm, study.arms, f"{where}, cell {cell_name}: arm")
        if (cell.per_class is None) != (study.command == "pretrain"):
            raise UserError(f"{where}, cell {cell_name}: give per_class for semisup, and for pretrain none")
    for pair in study.pairs:
        for arm in (pair.arm, pair.against):
            known(arm, study.arms, f"{where}, pair {pair.title!r}: arm")
    return study


def _check_seeds(seeds: list[int], where: str) -> None:
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{where}: seeds is {seeds}; give one or more, each once")


def _arm(values: Any, where: str) -> Arm:
    settings = dict(_mapping(values, where))
    _check(settings, dict[str, Any], where)
    origin = settings.get(INIT_FROM)
    if not isinstance(origin, Mapping):  # weights that are no run's are a setting like others
        return Arm(settings)
    del settings[INIT_FROM]
    return Arm(settings, _part(Origin, origin, f"{where}, {INIT_FROM}"))


def _parts(values: Any, where: str, make: Callable[[Any, str], Part]) -> dict[str, Part]:
    return {name: make(each, f"{where} {name}") for name, each in _mapping(values, f"{where}s").items() if _dotless(name, where)}


def _dotless(name: Any, where: str) -> bool:
    if not isinstance(name, str) or "." in name:
        raise UserError(f"{where} {name}: dots part the names of runs; give a name in quotes, without them")
    return True


def _part(kind: type[Part], values: Any, where: str) -> Part:
    """A part of a study; its own parts are still plain values."""
    parts = inspect.signature(kind).parameters
    given = _mapping(values, where)
    for key in given:
        known(key, list(parts), f"{where}: key")
    needed = [name for name, part in parts.items() if part.default is part.empty]
    if lacking := [name for name in needed if name not in given]:
        raise UserError(f"{where}: {lacking[0]} is missing")
    hints = key_types(kind)
    for key, value in given.items():
        _check(value, hints[key], f"{where}: {key}")
    return kind(**given)


def _check(value: Any, hint: Any, where: str) -> None:
    """Refuse a value, or one within it, that is not of its type; parts of a study are checked where they are made."""
    kind, *_ = (part for part in alternatives(hint) if part is not type(None))
    if kind is Any or is_dataclass(kind) or (value is None and kind is not hint):
        return
    whole, within = get_origin(kind) or kind, get_args(kind)
    if not isinstance(value, whole) or (isinstance(value, bool) and whole is not bool):
        raise UserError(f"{where} is {value!r}; give {wanted(hint)}")
    for key, each in value.items() if whole is dict else enumerate(value) if whole is list else ():
        if whole is dict and not (isinstance(key, str) or is_dataclass(within[-1])):
            raise UserError(f"{where} has the key {key!r}; give names")
        _check(each, within[-1], f"{where}, {key}")


def _mapping(values: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is {values!r}; give keys and values")
    return values


def _check_origins(study: Study, studies: Mapping[str, Study]) -> None:
    for name, arm in study.arms.items():
        if (origin := arm.origin) is None:
            continue
        where = f"study {study.name}, arm {name}, {INIT_FROM}"
        known(origin.study, studies, f"{where}: study")
        known(origin.arm, studies[origin.study].arms, f"{where}: arm")
        for cell in study.cells:
            origin_cell(study, cell, origin, studies[origin.study])


def origin_cell(study: Study, cell: str, origin: Origin, other: Study) -> str:
    """The cell of the other study whose run an arm starts from in a cell.

    Raises:
        UserError: when none or several have the cell's data.
    """
    where = f"study {study.name}, {INIT_FROM} of study {other.name}"
    if origin.cell is not None:
        known(origin.cell, other.cells, f"{where}: cell")
        return origin.cell
    same = [name for name, each in other.cells.items() if each.data == study.cells[cell].data]
    if len(same) != 1:
        raise UserError(f"{where}: {len(same)} of its cells have the data {study.cells[cell].data} of cell {cell}; name the cell")
    return same[0]
