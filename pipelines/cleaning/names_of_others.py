"""What configurations name of the runs of a storage: a checkpoint, or a run as a whole, that another one starts from."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipelines.cleaning.found_runs import FoundRun, read_config
from pipelines.cleaning.listing import Listing
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import of_one_file
from pipelines.runs.run_folder import RUN_FILE, SWEEP_FILE

NAMING = ("init_from", "start_from", "run")  # keys of a configuration that name another run, or a checkpoint of it
OF_A_SWEEP = ("base.yaml", "sweep.yaml")  # its configurations, of which trials are made
DEPTH = 2  # folders below one: the trials of its sweeps
CHECKPOINTS = "checkpoints"

Configs = dict[str, dict[str, Any] | None]  # plain values by where they are from; `None` for what cannot be read


@dataclass(frozen=True)
class Named:
    """What is named.

    Attributes:
        files: of each run, by its path: names of checkpoints, and "" for the run as a whole.
        unread: where configurations are that cannot be read, and may name any.
    """

    files: dict[str, set[str]]
    unread: list[str]


def named_files(runs: Sequence[FoundRun], listing: Listing) -> Named:
    """What the runs of a storage name of each other; also those that are linked there, and those beside a run or a sweep."""
    configs = {run.folder or "the run": run.config for run in runs}
    for sweep in listing.folders_with(SWEEP_FILE):
        configs |= _of_sweep(listing.place(sweep), listing.place(sweep).children())
    for outside in (*map(listing.place, listing.links), *_beside(listing.root)):
        configs |= _configs(outside, DEPTH)
    finder, files = _Finder(runs, listing), defaultdict[str, set[str]](set)
    for place in {place for config in configs.values() for place in _named(config)}:
        for folder, file in finder.named(place):
            files[folder].add(file)
    return Named(dict(files), [where for where, config in configs.items() if config is None])


def _named(value: Any, *, inside: bool = False) -> Iterator[str]:
    """Texts below a key that names others; a sweep's may stand in lists, and its key be dotted."""
    if isinstance(value, str) and inside:
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _named(inner, inside=inside or str(key).rpartition(".")[2] in NAMING)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, inside=inside)


def _beside(root: Location) -> list[Location]:
    """The storage of a run or a sweep that is looked at alone."""
    if not ((root / RUN_FILE).exists() or (root / SWEEP_FILE).exists()):
        return []
    above = root.parent.parent if (root.parent / SWEEP_FILE).exists() else root.parent
    return [above] if above.path.strip("/") else []


def _configs(folder: Location, depth: int) -> Configs:
    """Configurations of runs and sweeps in a folder and so many below it, by their places."""
    with suppress(UserError), of_one_file():  # such as lost+found
        names = folder.children()
        if RUN_FILE in names:
            return {str(folder): read_config(folder)}
        below = [_configs(folder / name, depth - 1) for name in names] if depth else []
        return dict(item for configs in [_of_sweep(folder, names), *below] for item in configs.items())
    return {}


def _of_sweep(folder: Location, names: Collection[str]) -> Configs:
    return {str(folder / name): read_config(folder, name) for name in OF_A_SWEEP if SWEEP_FILE in names and name in names}


class _Finder:
    """Finds the runs that a place names; each run's own place is resolved once."""

    def __init__(self, runs: Sequence[FoundRun], listing: Listing) -> None:
        kind, root = _resolved(listing.root)
        self.by_place = {(kind, posixpath.join(root, run.folder).rstrip("/")): run.folder for run in runs}
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for run in runs:
            self.by_name[posixpath.basename(run.folder) or listing.root.name].append(run.folder)

    def named(self, place: str) -> list[tuple[str, str]]:
        """Runs that a place lies in, and the file of each that it names.

        The storage may have been elsewhere when the place was noted: where it is in no run here, it names all whose name it has.
        """
        with suppress(UserError):  # of an address without its secret, for example
            kind, path = _resolved(Location.of(place))
            above = [path, *_parents(path)]
            if found := [(self.by_place[kind, one], path[len(one) :]) for one in above if (kind, one) in self.by_place]:
                return [(folder, file.strip("/").removeprefix(CHECKPOINTS).strip("/")) for folder, file in found]
        parts = place.partition("?")[0].rstrip("/").split("/")
        ends = [(parts[-1:], ""), (parts[-2:-1], parts[-1])]
        if parts[-2:-1] == [CHECKPOINTS]:
            ends.append((parts[-3:-2], parts[-1]))
        return [(run, file) for name, file in ends for run in (self.by_name.get(name[0], []) if name else [])]


def _resolved(place: Location) -> tuple[str, str]:
    path = os.path.realpath(place.path).rstrip("/") if place.is_local else place.path.strip("/")
    return place.filesystem.type_name, path


def _parents(path: str) -> Iterator[str]:
    while (above := posixpath.dirname(path)) != path:
        yield (path := above)
