"""A cluster, its storage, its data and MLflow, looked at before a job needs them: `doctor`."""

from __future__ import annotations

import html
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.secrets import hidden
from quorum.arguments import checked
from quorum.notebook import facts

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.doctor.findings import Finding


class Checkup:
    """What works and what does not: what `doctor` returns. In a notebook it shows the table and the faults.

    Args:
        findings: of all checks.
    """

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = [replace(one, said=hidden(one.said), remedy=hidden(one.remedy)) for one in findings]

    @property
    def healthy(self) -> bool:
        """Whether no check found a fault."""
        return not self.faults

    @property
    def faults(self) -> list[str]:
        """What a job would fail by: a sentence each, with the node, what to do and where it is explained."""
        return self._sentences("fault")

    @property
    def notes(self) -> list[str]:
        """What slows a job, or may become a fault: a sentence each."""
        return self._sentences("note")

    @property
    def table(self) -> pd.DataFrame:
        """A row a result: check, node, state (ok, note, not tried, fault) and what was found."""
        import pandas as pd

        columns = ("check", "node", "state", "found")
        return pd.DataFrame([(one.check, one.node, str(one.state), one.said) for one in self.findings], columns=columns)

    def _sentences(self, state: str) -> list[str]:
        return list(dict.fromkeys(one.sentence for one in self.findings if one.state == state))

    def __repr__(self) -> str:
        said = f"{len(self.faults)} faults, {len(self.notes)} notes" if self.faults or self.notes else "all is well"
        return f"Checkup({len(self.findings)} results: {said})"

    def _repr_html_(self) -> str:
        listed = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in [*self.faults, *self.notes])
        return facts(repr(self), {}) + (f"<ul>{listed}</ul>" if listed else "") + self.table.to_html(index=False)


@checked
def doctor(
    *,
    data: Any = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    experiment: str = "quorum",
    nodes: int | None = None,
    gpus: int | None = None,
    workers: int | None = None,
    gpu: bool = False,
    cpus_per_worker: int = 1,
    address: str | None = None,
) -> Checkup:
    """Say within a minute what works between a cluster, its storage, its data and MLflow, and what to set.

    Args:
        data: a data set, or a folder of embeddings, that every node should be able to read.
        storage: folder or URI that runs go to; a small file is written there from every node and removed.
        tracking_uri: of MLflow; without it `MLFLOW_TRACKING_URI`, or a file in a local `storage`.
        experiment: in MLflow; a tag of it is set and removed.
        nodes: how many the cluster should have; any number where it is not given.
        gpus: how many the cluster should have; those of `workers` with `gpu` where it is not given.
        workers: of a job; with it is looked whether they have room, and whether they reach each other.
        gpu: one GPU a worker.
        cpus_per_worker: reserved for a worker's own process.
        address: of a Ray cluster; `auto` or `host:port`.

    Raises:
        UserError: for numbers, or addresses, that can be none.
    """
    from pipelines.doctor.examine import Asked, examine
    from pipelines.doctor.record import record_address
    from pipelines.errors import UserError
    from pipelines.files.location import Location, is_on_disk

    for name, value, least in (
        ("nodes", nodes, 1), ("gpus", gpus, 0), ("compute.workers", workers, 1), ("compute.cpus_per_worker", cpus_per_worker, 1)
    ):  # fmt: skip
        if value is not None and value < least:
            raise UserError(f"{name} is {value}; give {least} or more")
    place = None if data is None else str(getattr(data, "path", data))
    for name, given in (("data", place), ("storage", storage)):
        if given is not None and not given.strip():
            raise UserError(f"{name} is empty; give a folder or a URI, or leave it out")
    local = Location.of(storage) if storage is not None and is_on_disk(storage) else None
    tracking = None
    if tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or local is not None:
        tracking = record_address(tracking_uri, local)
    wanted = gpus if gpus is not None else (workers or 1) if gpu else None
    asked = Asked(
        address, _from_anywhere(place), _from_anywhere(storage), tracking, experiment, nodes, workers, cpus_per_worker, wanted
    )  # fmt: skip
    findings = examine(asked)
    if storage is not None and tracking is None:
        findings = [*(one for one in findings if one.check != "MLflow"), _no_record(storage)]
    return Checkup(findings)


def _no_record(storage: str) -> Finding:
    """That runs on a remote storage need an address of MLflow."""
    from pipelines.doctor.findings import Page, fault

    said = f"{storage} is no local folder, so a run needs a server to be recorded at"
    return fault("MLflow", said, "set --tracking.uri or MLFLOW_TRACKING_URI", Page.MLFLOW)


def _from_anywhere(place: str | None) -> str | None:
    """A local path that holds from any folder; a URI as it is."""
    if place is None or "://" in place:
        return place
    return os.path.abspath(os.path.expanduser(place))
