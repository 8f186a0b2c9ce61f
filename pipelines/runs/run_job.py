"""One way to run a job: refuse what cannot work, take a place in the cluster, make the run, let workers work, close the record.

It lies beside the run's folder rather than with Ray, because every job ends in one: a folder, a record, and an outcome in it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, Protocol, TypeVar

from ray.exceptions import RayError
from ray.train import UserCallback

from pipelines.datasets.image_shards import Dataset
from pipelines.errors import Stopped, UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import Turn, one_writer, refuse_at_work
from pipelines.jobs.deaths import deaths_in_words, when_head_is_lost
from pipelines.jobs.loading import RECORD, loading
from pipelines.jobs.own_process import work_here
from pipelines.jobs.ray_cluster import check_resources, connect
from pipelines.jobs.ray_quirks.cluster import start_coordinator
from pipelines.jobs.stops import stops_at_once, stops_in_grace
from pipelines.jobs.train_job import fit
from pipelines.jobs.waiting import described
from pipelines.jobs.watch import Watch, say
from pipelines.jobs.worker import Worker, Workers, tell_nobody
from pipelines.runs.run_folder import SWEEP_FILE, Run, as_before_unless_begun
from pipelines.tracking.about.data_input import DataInput
from pipelines.tracking.live.node_watch import Readings, reading_seconds
from pipelines.tracking.local_copy import local_folder
from pipelines.tracking.mlflow_store import end_run
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.tracking.record import Record
from pipelines.tracking.recorder import start_recorder
from pipelines.words import tell

Result_co = TypeVar("Result_co", covariant=True)
Result = TypeVar("Result")


@dataclass(frozen=True)
class TrialContext:
    """The sweep that a run is a trial of, and what it gives the run; a trial of one worker has the worker's CPUs or GPU itself.

    Attributes:
        node: of the cluster, that the sweep was started on: local files are there, and so is the record written.
        home: folder there that it was started in.
        grows: whether the cluster may bring what the run lacks.
        tags: for its MLflow run.
        report: takes an epoch's figures of a run in this process.
        callbacks: for Ray Train, where the run has several workers.
        until: epoch to stop before and leave the run open for more; null for its end.
        wished: says whether the run is wished to stop.
        beside: trials at a time, which share the object store.
    """

    node: str
    home: str
    grows: bool
    tags: dict[str, str] = field(default_factory=dict)
    report: Callable[[Mapping[str, float]], None] = tell_nobody
    callbacks: list[UserCallback] = field(default_factory=list)
    until: int | None = None
    wished: Callable[[], bool] | None = None
    beside: int = 1


@dataclass(frozen=True)
class Task:
    """What workers are to do: a function of theirs, the job that it gets, and how many steps that has from its start."""

    function: Callable[[Any, Worker], None]
    job: Any
    steps: int


class JobSpec(Protocol[Result_co]):
    """A command's job, whose parts are called in the order in which they stand here."""

    @property
    def name(self) -> str:
        """In the progress line."""

    def check(self) -> None:
        """Refuse what cannot work, before anything starts."""

    @property
    def place(self) -> Location:
        """Folder of the run, known once it is checked."""

    @property
    def workers(self) -> Workers:
        """How many, on what."""

    @property
    def grace(self) -> float:
        """Seconds that they have to save when the job is wished to stop."""

    def create(self) -> Run:
        """Make the run, or make the one that is gone on with ready."""

    @property
    def reading_seconds(self) -> float | None:
        """Seconds between two readings of its nodes, as its configuration has them."""

    @property
    def inputs(self) -> list[DataInput]:
        """The data that it reads, as MLflow lists them."""

    @property
    def pictured(self) -> tuple[Dataset, str] | tuple[()]:
        """The data set and its split that the record has images and truth from, if any."""

    def work(self, run: Run, record: Record) -> Task | None:
        """What the workers are to do; `None` when nothing is left."""

    def finish(self, run: Run, record: Record) -> Result_co:
        """Make the result of what they have done, which the record ends with."""

    @property
    def open_end(self) -> bool:
        """Whether the run is to go on later."""


def run_job(spec: JobSpec[Result], *, address: str | None = None, within: TrialContext | None = None) -> Result:
    """Run a job from its checks to its closed record.

    Args:
        spec: the job.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.
        within: the sweep that it is a part of.

    Returns:
        What the spec makes of it.

    Raises:
        UserError: for input that cannot work, said before a worker starts where it can be known then, or a run that had to stop.
        KeyboardInterrupt: when the user stops it.
    """
    with stops_at_once():
        spec.check()
        if within is None:
            tell(f"{spec.name}: starting, in {spec.place}")
        workers = spec.workers
        with loading(*RECORD):
            alone = connect(address, local_cpus=workers.most * workers.cpus + 1)
        if within is None:
            start_coordinator()
        grows = within.grows if within else not alone
        check_resources(workers.least, workers.cpus, gpus=workers.gpus, grows=grows)
        with nullcontext(Turn()) if within else _turn_of(spec.place) as turn:  # a trial has its sweep's
            with as_before_unless_begun(spec.place):
                run = spec.create()
            record = _start_recorder(spec, run, within, named=grows)
            go_on = f"quorum {run.kind} --resume {quote(str(run.location))}"
            with deaths_in_words(go_on), recorded(record, run, open_end=spec.open_end, turn=turn):
                for data in spec.inputs:
                    record.input(data)
                task = spec.work(run, record)
                if task is not None:
                    _let_work(spec, task, run, record, within, turn, alone=not grows)
                return spec.finish(run, record)


def _turn_of(place: Location) -> AbstractContextManager[Turn]:
    """The turn to write a run's folder, which is nobody else's while a sweep that it is a trial of is at work either."""
    if (place.parent / SWEEP_FILE).exists():
        refuse_at_work(place.parent)
    return one_writer(place)


def _start_recorder(spec: JobSpec[Any], run: Run, within: TrialContext | None, *, named: bool) -> Record:
    folder = local_folder(run.location, within.home if within else "")
    seconds = reading_seconds(spec.reading_seconds, trial=within is not None)
    return start_recorder(
        str(folder), str(run.location), run.address, *spec.pictured, node=within.node if within else None,
        readings=Readings(seconds, named=named) if seconds else None,
    )  # fmt: skip


def _let_work(
    spec: JobSpec[Any], task: Task, run: Run, record: Record, within: TrialContext | None, turn: Turn, *, alone: bool
) -> None:
    workers = spec.workers
    shown = nullcontext() if within else Watch(spec.name, record, task.steps, needs=described(workers))
    with shown, stops_in_grace(record.wish, spec.grace, at_once=lambda: bool(turn.lost)) as wish:
        if within is not None and workers.most == 1:
            work_here(task.function, task.job, within.report, within.wished, beside=within.beside)
        else:
            fit(
                task.function,
                task.job,
                workers,
                within.callbacks if within else (),
                beside=within.beside if within else 1,
                wished=within.wished if within else None,
                alone=alone,
            )
    left = record.left()
    if left is not None:
        on = f"go on with it: quorum {run.kind} --resume {quote(str(run.location))}"
        raise Stopped(wish.number or signal.SIGTERM, f"stopped after step {left:,}, as asked; {on}")


@contextmanager
def recorded(record: Record, run: Run, *, open_end: bool = False, turn: Turn | None = None) -> Iterator[None]:
    """Close the record as a block ends: finished - or with an open end, still running -, killed from outside, or failed.

    Where the turn to write the run was lost to another process, the record is that one's, and stays as it is.
    """
    outcome = "FAILED"
    try:
        with when_head_is_lost(lambda: end_run(run.address, outcome)):
            yield
        outcome = "RUNNING" if open_end else "FINISHED"
    except (KeyboardInterrupt, SystemExit):  # by the user, or by the sweep
        outcome = "KILLED"
        raise
    finally:
        if turn is not None and turn.lost:
            record.abandon()
        else:
            say(_close(record, run, outcome))


def _close(record: Record, run: Run, outcome: str) -> list[str]:
    """Let the recorder close the record; where Ray is gone and it with that, do so from here."""
    try:
        return record.close(outcome)
    except RayError:
        try:
            tracker = Tracker(run.local_folder, run.address)
        except UserError as error:  # what ends the job is what is to be told
            return [str(error)]
        tracker.status(outcome)
        tracker.close()
        return tracker.messages
