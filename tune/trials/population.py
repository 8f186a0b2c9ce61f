"""Population-based training: every few epochs the worst members go on from the state of the best, with changed settings.

A member trains interval by interval, each a part of one run. Between two of them Ray Tune compares the members, and hands the
worst the checkpoint and the changed settings of a better one.

Source: Jaderberg et al., Population Based Training of Neural Networks, arXiv:1711.09846, through Ray Tune's scheduler.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray.tune

from pipelines.errors import UserError
from pipelines.files.documents import RESTORE, checked_note, damage_in_words
from pipelines.files.location import Location
from pipelines.jobs.ray_quirks.populations import Population
from pipelines.runs.checkpoints import CheckpointStore, Entry
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.training.launch import train
from tune.points import spelled
from tune.search.plan import Plan, trial_name
from tune.search.ray_domains import domain
from tune.search.space import Point, Space
from tune.trials.trial import SweepContext, is_over, refusals_noted, write_outcome

EPOCHS_DONE, EPOCHS_TRAINED = "epochs_done", "epochs_trained"
HANDOVER_FILE, LINEAGE_FILE, LINEAGE_TAG = "handover.json", "lineage.json", "quorum.lineage"


def population_based(plan: Plan) -> Population:
    """Ray Tune's scheduler; all members meet at each interval's end, so that none is compared with another's later state."""
    rule, axes = plan.config.scheduler, Space.parse(plan.config.space, plan.config.kind).axes
    bounded = [axis for axis in axes if axis.kind not in ("grid", "choice")]

    def keep_within(config: dict[str, Any]) -> dict[str, Any]:
        point = config["trial"]["point"]
        for axis in bounded:
            low, high = axis.values
            value = min(max(point[axis.key], low), high)
            point[axis.key] = int(value) if axis.kind == "integers" else float(value)
        return config

    mutations = {axis.key: domain(axis) if axis in bounded else axis.values for axis in axes}
    reached = max(reached_by(plan.run_folder(point, seed)) for point in plan.points for seed in plan.config.seeds)
    return Population(
        reached, time_attr=EPOCHS_DONE, perturbation_interval=rule.interval_epochs, quantile_fraction=rule.share,
        hyperparam_mutations={"trial": {"point": mutations}}, custom_explore_fn=keep_within,
    )  # fmt: skip


def start_of(plan: Plan, trial_id: str) -> Point:
    """The point that a member started from: Ray Tune numbers trials in the order of the points."""
    return plan.points[int(trial_id.rpartition("_")[2])]


def present_point(plan: Plan, start: Point, seed: int) -> Point:
    """The point that a member has now: of a resumed sweep, perhaps another than it started from."""
    with suppress(UserError):  # of notes that are damaged, which the member says where it ends
        lineage = lineage_of(plan.run_folder(start, seed))
        return dict(lineage[-1]["point"]) if lineage else start
    return start


def run_member(settings: dict[str, Any], *, sweep: SweepContext) -> None:
    """Entry point of a member's process, at its start and after each exchange that it lost.

    Args:
        settings: `trial`, with its present `point` and its `seed`.
        sweep: that it is a part of.
    """
    sweep.enter()
    plan, handed = sweep.plan, ray.tune.get_checkpoint()
    start, seed = start_of(plan, ray.tune.get_context().get_trial_id()), settings["trial"]["seed"]
    point, folder = settings["trial"]["point"], plan.run_folder(start, seed)
    if is_over(folder):
        report_end(sweep, folder)
        return
    with refusals_noted(folder.make()):
        settle(sweep, folder)
        if handed is not None:
            with handed.as_directory() as place:
                take_over(sweep, folder, json.loads((Path(place) / HANDOVER_FILE).read_text()), point)
        elif epochs_done(folder):  # of a resumed sweep
            report(sweep, folder, trained=0)
        train_intervals(sweep, folder, start, point, seed)


def train_intervals(sweep: SweepContext, folder: Location, start: Point, point: Point, seed: int) -> None:
    """Train from where a member stands to its end; after each interval another member may take its place."""
    config = replace(sweep.plan.training(point, seed), name=trial_name(start, seed))
    done, interval = epochs_done(folder), sweep.plan.config.scheduler.interval_epochs
    while done < config.epochs:
        end = min((done // interval + 1) * interval, config.epochs)
        resume = str(folder) if (folder / RUN_FILE).exists() else None
        train(config, resume=resume, within=sweep.trial(start, seed, until=end))
        if end == config.epochs:
            write_outcome(folder, "finished")
        report(sweep, folder, trained=end - done)
        done = end


def checkpoints_of(folder: Location) -> CheckpointStore:
    """The checkpoints of a member's run."""
    return CheckpointStore(folder / "checkpoints")


def epochs_done(folder: Location) -> int:
    """Epochs that the newest checkpoint of a member has behind it."""
    newest = checkpoints_of(folder).latest()
    return newest.epoch if newest else 0


def reached_by(folder: Location) -> int:
    """The same of a member that may be damaged, which it says where it ends: it keeps no other from going on."""
    with suppress(UserError):
        return epochs_done(folder)
    return 0


def report_end(sweep: SweepContext, folder: Location) -> None:
    """Tell Ray Tune the newest value of each figure of a member that has come to its end, and is not trained any more.

    One whose checkpoints are gone is finished all the same, and no other takes over from it.
    """
    if reached_by(folder):
        return report(sweep, folder, trained=0)
    figures = newest_figures(sweep.at_home(Run.open(str(folder)).history), sweep.plan.metric, [])
    ray.tune.report(figures | {EPOCHS_DONE: sweep.plan.epochs, EPOCHS_TRAINED: 0})


def report(sweep: SweepContext, folder: Location, *, trained: int) -> None:
    """Tell Ray Tune the newest value of each figure, and what another member may take over.

    That is set aside: the member goes on, and may have dropped its checkpoint before another process has begun to read it.

    Raises:
        UserError: when the checkpoint is gone, or cannot be written.
    """
    run = Run.open(str(folder))
    figures = newest_figures(sweep.at_home(run.history), sweep.plan.metric, lineage_of(folder))
    newest = run.checkpoints.latest()
    if newest is None:  # an interval ends with one
        raise UserError(f"{run.checkpoints.location} has lost its checkpoints; restore them, and go on with --resume")
    progress = {EPOCHS_DONE: newest.epoch, EPOCHS_TRAINED: trained}
    kept = run.checkpoints.set_aside(newest)
    handed = {"from": folder.name, "entry": asdict(kept), "score": figures.get(sweep.plan.metric)}
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / HANDOVER_FILE).write_text(json.dumps(handed))
        ray.tune.report(figures | progress, checkpoint=ray.tune.Checkpoint.from_directory(place))


def newest_figures(
    history: Iterable[Mapping[str, Any]], metric: str, lineage: Sequence[Mapping[str, Any]]
) -> dict[str, float]:  # fmt: skip
    """The newest value of each figure; a member that took over another's state has that one's metric until it has a new one.

    Args:
        history: entries of the member's journal.
        metric: that members are compared by.
        lineage: what it took over.
    """
    figures: dict[str, float] = {}
    for entry in history:
        if entry.get("kind") == "tag" and entry["key"] == LINEAGE_TAG and lineage and lineage[-1].get("score") is not None:
            figures[metric] = lineage[-1]["score"]
        figures |= entry.get("values", {})
    return figures


def lineage_of(folder: Location) -> list[dict[str, Any]]:
    """What a member took over, in order: `epoch`, `from` whom, its `score`, and the `point` that the member has since.

    The last one also has the checkpoint that it is `taking`, until it has it.
    """
    place = folder / LINEAGE_FILE
    if not place.exists():
        return []
    with damage_in_words(place, RESTORE):
        return [checked_note(step, **{"epoch": int, "from": str, "point": dict}) for step in place.read_json()]


def take_over(sweep: SweepContext, folder: Location, handed: Mapping[str, Any], point: Point) -> None:
    """Let a member go on from what it was handed; its own state changes nothing, nor does what it has taken over already.

    Raises:
        UserError: when the checkpoint is gone or damaged, or cannot be written here.
    """
    entry, lineage = Entry(**handed["entry"]), lineage_of(folder)
    step = {"epoch": entry.epoch, "from": handed["from"], "point": point, "score": handed["score"]}
    if handed["from"] == folder.name or (lineage and lineage[-1] == step):  # the latter: its process died, and began again
        return
    taken = checkpoints_of(folder).fetch(checkpoints_of(sweep.plan.folder / handed["from"]), entry)
    (folder / LINEAGE_FILE).write_json([*lineage, step | {"taking": asdict(taken)}])
    settle(sweep, folder)


def settle(sweep: SweepContext, folder: Location) -> None:
    """End a take-over that was written down, here or before this process died, and tell MLflow of it.

    The checkpoint is in the member's folder by then. So state and lineage say the same whenever a process dies.
    """
    lineage = lineage_of(folder)
    if not lineage or "taking" not in lineage[-1]:
        return
    checkpoints_of(folder).go_on_from(Entry(**lineage[-1].pop("taking")))
    told = "; ".join(f"epoch {step['epoch']}: {step['from']}, {spelled(step['point'])}" for step in lineage)
    sweep.at_home(partial(tag, Run.open(str(folder)), LINEAGE_TAG, told))
    (folder / LINEAGE_FILE).write_json(lineage)


def drop_handed_on(plan: Plan) -> None:
    """Remove what the members of a population have set aside for each other, once none of them trains any more."""
    for point in plan.points if plan.is_population else []:
        for seed in plan.config.seeds:
            checkpoints_of(plan.run_folder(point, seed)).drop_aside()


def tag(run: Run, key: str, value: str) -> None:
    """Set a tag of a run that nobody records just now."""
    tracker = Tracker(run.local_folder, run.address)
    tracker.tag(key, value)
    tracker.close()
