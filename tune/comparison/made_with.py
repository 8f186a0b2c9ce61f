"""With what runs were made that may change their scores and is no setting: versions, and how the work was shared out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.config.old_configs import converted_parameters
from pipelines.words import counted
from tune.points import identity

if TYPE_CHECKING:
    from tune.comparison.mlflow_runs import Record

# As a run's tags have them (`pipelines.runs.provenance`). mlflow and python touch no number of a run.
VERSIONS = (
    "order", "torch", "torchvision", "kornia", "timm", "pillow", "simplejpeg", "cykooz-resizer", "numpy", "pyarrow", "ray",
)  # fmt: skip
QUORUM, COMMIT = "quorum", "git_commit"
MEANS = ("compute.workers", "compute.gpu", "compute.channels_last", "compute.compile")
SHORT = 7  # letters of a commit or a hash


def made_with(tags: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str]:
    """Versions and means of a run, by their names; those that it did not record are left out."""
    found = {name: tags[name] for name in VERSIONS if name in tags}
    if QUORUM in tags:  # its source, and not its commit, says whether the code is the same
        found[QUORUM] = tags[QUORUM] + (f" of source {tags['source'][:SHORT]}" if "source" in tags else "")
    if COMMIT in tags:
        found[COMMIT] = tags[COMMIT][:SHORT]
    params = converted_parameters(params)
    return found | {name: params[name] for name in MEANS if name in params}


def unlike(records: Sequence[Record]) -> list[str]:
    """Sentences on what the runs were made with and do not have in common; none where there is nothing of that."""
    said = []
    if versions := _several(records, (QUORUM, *VERSIONS)):
        said.append(f"warning: versions differ among the runs, which may be a part of what their scores differ by: {versions}")
    of_point: dict[str, list[Record]] = {}
    for record in records:
        of_point.setdefault(identity(record.point), []).append(record)
    mixed = {name for same in of_point.values() for name in MEANS if len(_counts(same, name)) > 1}
    if means := _several(records, sorted(mixed)):
        said.append(
            f"warning: repetitions of a setting differ in {means}; sums in another order, and on CPUs BatchNorm statistics of "
            "each worker's own, are a part of their spread"
        )
    return said


def _several(records: Sequence[Record], names: Sequence[str]) -> str:
    """Each of the names of which the runs have different values, with how many runs have which."""
    counts = {name: _counts(records, name) for name in names}
    return "; ".join(f"{name} {_told(records, name, each)}" for name, each in counts.items() if len(each) > 1)


def _counts(records: Sequence[Record], name: str) -> Counter[str]:
    return Counter(record.made_with[name] for record in records if name in record.made_with)


def _told(records: Sequence[Record], name: str, counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value}{_commit(records, name, value)} ({counted(counts[value], 'run')})" for value in sorted(counts))


def _commit(records: Sequence[Record], name: str, value: str) -> str:
    """The commit that a source of this package was first run at, where one is known."""
    mine = (record.made_with for record in records if record.made_with.get(name) == value)
    commit = next((made[COMMIT] for made in mine if COMMIT in made), "")
    return f", commit {commit}" if commit and name == QUORUM else ""
