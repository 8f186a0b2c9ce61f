"""`quorum sweep`: trials over a search space through Ray Tune, each a run of its own below one parent run in MLflow."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from shlex import quote

import ray

from pipelines.config.plain_values import flatten
from pipelines.config.recipe import stored_text
from pipelines.errors import Stopped, UserError
from pipelines.files.documents import damage_in_words, read_document, write_document
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.files.storage_errors import storage_sentence
from pipelines.jobs.deaths import when_head_is_lost
from pipelines.jobs.ray_cluster import connect, this_node
from pipelines.jobs.ray_quirks.starts import kept_handlers
from pipelines.jobs.ray_quirks.tune import fit
from pipelines.jobs.stops import stops_in_grace
from pipelines.runs.description import note, repeat_command
from pipelines.runs.run_folder import RUN_FILE, SWEEP_FILE, Run
from pipelines.secrets import without_secrets
from pipelines.tracking.about.source import source_tags
from pipelines.tracking.local_copy import local_file, local_folder
from pipelines.tracking.mlflow_store import RunAddress, check_run, end_run, ended_unless_begun, start_run
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.tracking.old_figures import present_name
from pipelines.words import tell
from tune.search.plan import Plan
from tune.search.sweep_config import SweepConfig
from tune.trials.earlier_runs import end_earlier_runs
from tune.trials.population import drop_handed_on
from tune.trials.progress_board import Board, TrialLine
from tune.trials.ray_tuner import build_tuner
from tune.trials.trial import SweepContext
from tune.trials.wish import SweepWish

CONFIG_FILE, BASE_FILE = "sweep.yaml", "base.yaml"
SEARCHED = "searched_data"  # fingerprints of the data sets in the space
BEGUN_FROM = "begun_from"  # folder that relative places in the space count from
SWEEP_FORMAT = 1
MLFLOW_STATUS = {"failed": "FAILED", "stopped": "KILLED", "running": "KILLED"}  # of trials that could not say it themselves


def sweep(config: SweepConfig, *, address: str | None = None, resume: bool = False) -> RunAddress:
    """Run a sweep to its end, or go on with the one of that name; returns its MLflow run.

    Raises:
        UserError: for input that cannot work, before a trial starts; or when no trial could be finished.
        KeyboardInterrupt: when the user stops it.
    """
    if resume and config.metric:  # the metric of a sweep that version 0.1 began
        config = replace(config, metric=present_name(config.metric))
    begun_from = _begun_from(Location.of(config.storage) / config.name) if resume else ""
    plan = Plan.of(config, stored=resume, begun_from=begun_from)
    asked = plan.trials if plan.is_population else config.concurrent
    grows = not connect(address, local_cpus=(asked or 1) * int(plan.needs["CPU"]) + 1)
    concurrent = room(plan, asked, grows=grows)
    with one_writer(plan.folder) as turn:
        board, wish = Board(plan), SweepWish()
        parent = _reopen(plan) if resume else _create(plan)
        outcome = "FAILED"
        try:
            tell = partial(_wish, board, wish)
            with (
                kept_handlers(signal.SIGUSR1), when_head_is_lost(partial(_end_runs, board, parent, outcome)),
                stops_in_grace(tell, plan.grace, at_once=lambda: bool(turn.lost)) as wished,
            ):  # fmt: skip
                context = SweepContext(plan, parent.run_id, source_tags(), this_node(), grows, wish, concurrent)
                tuner = build_tuner(context, board)
                if not board.is_left:
                    fit(tuner, is_over=lambda: board.is_left or board.budget_is_used_up() or _all_ended(board, plan))
            outcome = "FINISHED" if _all_ended(board, plan) else "KILLED"
        finally:
            board.close()
            board.explain()
            if not turn.lost:  # else the records are another's
                _close(plan, board, parent, outcome)
    _conclude(plan, board, outcome, wished.number)
    return parent


def _all_ended(board: Board, plan: Plan) -> bool:
    return board.count("finished", "stopped", "failed") == plan.trials


def _close(plan: Plan, board: Board, parent: RunAddress, outcome: str) -> None:
    for line in board.lines.values():
        try:
            _close_trial(board, line)
        except (UserError, OSError) as error:  # one that somebody goes on with by hand, or whose files are damaged or refuse
            tell(error if isinstance(error, UserError) else storage_sentence(error))
    drop_handed_on(plan)
    try:
        end_earlier_runs(parent)
    except UserError as error:  # a store that is away, which the next resume asks again
        tell(error)
    _set_status(plan, parent, outcome)


def _end_runs(board: Board, parent: RunAddress, status: str) -> None:
    """Set the status of a sweep and of its trials at work, whose recorders still have the journals and cannot do it any more."""
    end_run(parent, status)
    for line in list(board.lines.values()):  # which the board adds to
        with suppress(UserError, OSError):  # one that has not begun, or that a storage refuses
            if line.state == "running":
                end_run(Run.open(str(board.folder(line))).address, status)


def _wish(board: Board, wish: SweepWish) -> None:
    board.is_left = True
    wish.make()


def room(plan: Plan, asked: int | None, *, grows: bool) -> int:
    """How many trials fit at a time: their workers must leave a CPU to the stream's tasks, or all would wait for each other.

    Raises:
        UserError: when fewer fit than asked for, in a cluster that cannot grow.
    """
    resources = ray.cluster_resources()
    cpus, gpus = plan.needs["CPU"], plan.needs["GPU"]
    fits = int((resources.get("CPU", 0) - 1) // cpus)
    if gpus:
        fits = min(fits, int(resources.get("GPU", 0) // gpus))
    if fits < (asked or 1) and not grows:
        raise UserError(
            f"{asked or 1} trials at a time with {cpus:g} CPUs and {gpus:g} GPUs each do not fit the cluster "
            f"({resources.get('CPU', 0):.0f} CPUs, {resources.get('GPU', 0):.0f} GPUs, one CPU kept for the stream); "
            "lower concurrent or settings.compute.workers"
        )
    return asked or max(fits, 1)


def _write_config(plan: Plan) -> None:
    # Without settings: the base has them.
    values = replace(plan.config, settings={}).to_dict()
    (plan.folder / CONFIG_FILE).write_bytes(stored_text(values))


def _create(plan: Plan) -> RunAddress:
    config, folder = plan.config, plan.folder
    if (folder / SWEEP_FILE).exists():
        raise UserError(f"{folder} already holds a sweep; choose another name, or go on with it: --resume {quote(str(folder))}")
    folder.make()
    # A resumed sweep has the base as it was, whatever has become of the recipe since.
    (folder / BASE_FILE).write_bytes(stored_text(plan.base.to_dict()))
    _write_config(plan)
    tags = {"quorum.kind": "sweep", "quorum.metric": plan.metric, "quorum.mode": plan.mode, "run_folder": str(folder)}
    tags |= note(plan.words, repeat_command("sweep", folder, CONFIG_FILE, f" --recipe {quote(str(folder / BASE_FILE))}"))
    address = start_run(*plan.store, config.name, params=flatten(config.to_dict()), tags=tags)
    with ended_unless_begun(address):
        content = {"mlflow": without_secrets(vars(address)), "data": plan.dataset.fingerprint, SEARCHED: plan.searched_data}
        write_document(folder / SWEEP_FILE, content | {BEGUN_FROM: plan.begun_from}, SWEEP_FORMAT)
        with _recording(folder, address) as tracker:
            tracker.input(plan.data)
    return address


def _begun_from(folder: Location) -> str:
    """Folder that a sweep was begun in; empty where it did not note that, or there is none any more."""
    noted = str(read_document(folder / SWEEP_FILE, SWEEP_FORMAT, "restore it").get(BEGUN_FROM, ""))
    return noted if os.path.isdir(noted) else ""


def _reopen(plan: Plan) -> RunAddress:
    content = read_document(plan.folder / SWEEP_FILE, SWEEP_FORMAT, "restore it")
    with damage_in_words(plan.folder / SWEEP_FILE, "restore it"):
        address = RunAddress(**content["mlflow"])
    _check_data(plan.base.data, plan.dataset.fingerprint, content.get("data"))
    for data, now in plan.searched_data.items():
        _check_data(data, now, content.get(SEARCHED, {}).get(data))
    check_run(address := replace(address, uri=plan.store[0]))
    _write_config(plan)
    _set_status(plan, address, "RUNNING")
    return address


def _check_data(data: str, now: str, started: str | None) -> None:
    if started not in (None, now):  # earlier versions noted none, or that of the base alone
        raise UserError(
            f"{data} has fingerprint {now}, the sweep was started on {started}; its trials could not be compared: "
            "give the same data"
        )


def files_of(folder: str) -> tuple[Location, str, str]:
    """Folder of a sweep, and paths of its configuration and of its base, copied here where it is remote.

    Raises:
        UserError: when it holds no sweep.
    """
    location = Location.of(folder)
    if not (location / SWEEP_FILE).exists():
        raise UserError(f"{folder} holds no {SWEEP_FILE}, so it is no sweep; give the folder that quorum sweep made")
    return location, str(local_file(location, CONFIG_FILE)), str(local_file(location, BASE_FILE))


def _close_trial(board: Board, line: TrialLine) -> None:
    """Note in MLflow how a trial ended, where it had no time to do it itself."""
    folder = board.folder(line)
    if line.reason:
        tell(f"{line.point}, seed {line.seed} failed: {line.reason}")
    if line.state not in MLFLOW_STATUS or not (folder / RUN_FILE).exists():
        return
    run = Run.open(str(folder))
    times = [entry["time"] for entry in run.history() if "time" in entry]
    with _recording(folder, run.address) as tracker:
        if line.reason:
            tracker.tag("quorum.reason", line.reason[:400])
        tracker.status(MLFLOW_STATUS[line.state], at=max(times, default=None))


def _set_status(plan: Plan, parent: RunAddress, status: str) -> None:
    with _recording(plan.folder, parent) as tracker:
        tracker.status(status)


@contextmanager
def _recording(folder: Location, address: RunAddress) -> Iterator[Tracker]:
    """Record something of a run within the block; what did not arrive is told."""
    tracker = Tracker(local_folder(folder), address)
    try:
        yield tracker
    finally:
        tracker.close()
        for message in tracker.messages:
            tell(message)


def _conclude(plan: Plan, board: Board, outcome: str, wished: int | None) -> None:
    """Say what is missing of a sweep that ended early, or without a result."""
    if outcome == "KILLED":
        budget = plan.config.budget
        if wished is not None or (budget.hours is None and not board.budget_is_used_up()):
            said = f"stopped, as asked; go on with it: quorum sweep --resume {quote(str(plan.folder))}"
            raise Stopped(wished or signal.SIGINT, said)
        ended = board.count("finished", "stopped", "failed")
        tell(f"the budget is used up: {ended} of {plan.trials} trials ended; to go on, raise it: --resume")
    if not board.count("finished"):
        reasons = "; ".join(sorted({line.reason for line in board.lines.values() if line.reason})) or "none came to its end"
        raise UserError(f"no trial of the sweep finished: {reasons}")
