"""Members of a population hand on checkpoints: what was handed on stays, and state and lineage agree whenever a process dies."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore, Entry
from tests.helpers.runs.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig, SchedulerConfig
from tune.trials import population
from tune.trials.population import LINEAGE_FILE, LINEAGE_TAG, lineage_of, newest_figures, population_based, settle, take_over
from tune.trials.ray_tuner import trials_of

POINT = {"optimizer.lr": 0.05}


def save(store: CheckpointStore, step: int, value: float) -> Entry:
    return store.save({"value": value}, epoch=step, step=0, global_step=step)


def value(store: CheckpointStore) -> float:
    return store.load(store.latest())["value"]


class Members:
    """Two members of a sweep, `worst` and `best`; the tags that MLflow would get are in `told`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, str]] = []
        self.sweep = SimpleNamespace(plan=SimpleNamespace(folder=Location.of(folder)), at_home=lambda function: function())
        self.folder = Location.of(folder) / "worst"
        self.worst, self.best = (CheckpointStore(Location.of(folder / name / "checkpoints"), 1) for name in ("worst", "best"))
        monkeypatch.setattr(population.Run, "open", lambda place: place)
        monkeypatch.setattr(population, "tag", lambda run, key, text: self.told.append((key, text)))
        save(self.worst, 1, -1.0)

    def handed(self, step: int) -> dict:
        """What the best tells of a new checkpoint."""
        kept = self.best.set_aside(save(self.best, step, float(step)))
        return {"from": "best", "entry": asdict(kept), "score": 0.5}

    def take(self, handed: dict) -> None:
        take_over(self.sweep, self.folder, handed, POINT)


@pytest.fixture
def members(tmp_path, monkeypatch) -> Members:
    return Members(tmp_path, monkeypatch)


def test_what_was_handed_on_is_taken_over_also_when_its_donor_has_dropped_it(members):
    handed = members.handed(1)
    save(members.best, 2, 2.0)
    save(members.best, 3, 3.0)
    assert [entry.global_step for entry in members.best.entries()] == [3]
    members.take(handed)
    assert value(members.worst) == 1.0
    (step,) = lineage_of(members.folder)
    assert step == {"epoch": 1, "from": "best", "point": POINT, "score": 0.5}
    assert members.told == [(LINEAGE_TAG, 'epoch 1: best, {"optimizer.lr": 0.05}')]


def test_a_donor_keeps_what_it_hands_on_and_what_is_on_its_way(members):
    first, second, third = (members.handed(step) for step in (1, 2, 3))
    files = members.best.location.children()
    assert first["entry"]["file"] not in files
    assert {second["entry"]["file"], third["entry"]["file"]} < set(files)
    members.best.drop_aside()
    assert members.best.location.children() == ["index.json", members.best.latest().file]


@pytest.mark.parametrize("dies_in", ["go_on_from", "tag"])
def test_a_member_that_dies_while_it_takes_over_has_all_of_it_when_it_begins_again(members, monkeypatch, dies_in):
    handed = members.handed(1)
    with monkeypatch.context() as patch:
        patch.setattr(*((population, "tag") if dies_in == "tag" else (CheckpointStore, dies_in)), _die)
        with pytest.raises(KeyboardInterrupt):
            members.take(handed)
    for name in members.best.location.children():  # the donor is not asked again
        (members.best.location / name).delete_file()
    settle(members.sweep, members.folder)
    assert value(members.worst) == 1.0
    assert lineage_of(members.folder) == [{"epoch": 1, "from": "best", "point": POINT, "score": 0.5}]
    assert len(members.told) == 1


def _die(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_member_that_dies_before_it_has_the_checkpoint_is_as_it_was(members, monkeypatch):
    handed = members.handed(1)
    with monkeypatch.context() as patch:
        patch.setattr(Location, "write_json", _die)
        with pytest.raises(KeyboardInterrupt):
            members.take(handed)
    settle(members.sweep, members.folder)
    assert value(members.worst) == -1.0
    assert not (members.folder / LINEAGE_FILE).exists()


def test_what_is_handed_on_again_to_a_process_that_died_later_is_not_taken_twice(members):
    handed = members.handed(1)
    members.take(handed)
    save(members.worst, 2, 20.0)
    members.take(handed)
    assert value(members.worst) == 20.0
    assert len(lineage_of(members.folder)) == 1


def test_its_own_checkpoint_changes_nothing(members):
    members.take(members.handed(1) | {"from": "worst"})
    assert value(members.worst) == -1.0
    assert lineage_of(members.folder) == []


def test_a_checkpoint_that_is_gone_or_damaged_is_said(members):
    handed = members.handed(1)
    place = members.best.location / handed["entry"]["file"]
    content = place.read_bytes()
    place.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match=rf"{place} is damaged, so that {members.folder} cannot go on from it"):
        members.take(handed)
    place.delete_file()
    with pytest.raises(UserError, match=rf"{place} is gone, so that {members.folder} cannot go on from it"):
        members.take(handed)
    assert value(members.worst) == -1.0


@pytest.mark.parametrize(
    ("held", "said"), [([{"from": "best"}], "it has no 'epoch'"), ([3], "it holds 3"), ({"a": 1}, "it holds 'a'")]
)
def test_a_lineage_that_lacks_something_is_one_sentence(tmp_path, held, said):
    (Location.of(tmp_path) / LINEAGE_FILE).write_json(held)
    with pytest.raises(UserError, match=rf"{LINEAGE_FILE} is .*{said}.*restore it"):
        lineage_of(Location.of(tmp_path))


def figures(*entries: dict, lineage: list[dict]) -> dict[str, float]:
    return newest_figures(entries, "val/knn_top1", lineage)


def test_a_member_is_compared_by_the_state_that_it_has():
    own = {"kind": "metrics", "values": {"val/knn_top1": 0.1, "progress/epoch": 1.0}}
    took = {"kind": "tag", "key": LINEAGE_TAG, "value": "..."}
    new = {"kind": "metrics", "values": {"val/knn_top1": 0.3}}
    lineage = [{"score": 0.2}, {"score": 0.5}]
    assert figures(own, lineage=[]) == {"val/knn_top1": 0.1, "progress/epoch": 1.0}
    assert figures(own, took, lineage=lineage) == {"val/knn_top1": 0.5, "progress/epoch": 1.0}
    assert figures(own, took, new, lineage=lineage)["val/knn_top1"] == 0.3
    assert figures(own, took, lineage=[{"epoch": 2}])["val/knn_top1"] == 0.1  # which version 0.1 did not note


def test_a_member_that_has_lost_its_checkpoints_is_one_sentence_and_one_at_its_end_needs_none(members, monkeypatch):
    told = []
    run = SimpleNamespace(history=lambda: [{"values": {"val/knn_top1": 0.3}}], checkpoints=members.worst)
    monkeypatch.setattr(population.Run, "open", lambda place: run)
    monkeypatch.setattr(population.ray.tune, "report", told.append)
    members.sweep.plan.metric, members.sweep.plan.epochs = "val/knn_top1", 4
    shutil.rmtree(members.worst.location.path)
    with pytest.raises(
        UserError, match=rf"{members.worst.location} has lost its checkpoints; restore them, and go on with --res"
    ):
        population.report(members.sweep, members.folder, trained=1)
    population.report_end(members.sweep, members.folder)
    assert told == [{"val/knn_top1": 0.3, "epochs_done": 4, "epochs_trained": 0}]


@pytest.mark.parametrize("damaged", ["checkpoints/index.json", LINEAGE_FILE])
def test_a_damaged_member_keeps_no_other_from_going_on(some_digits, tmp_path, damaged):
    rates = {"optimizer.lr": {"grid": [0.03, 0.05]}}
    plan = Plan.of(config(str(some_digits.location), tmp_path, space=rates, scheduler=SchedulerConfig("pbt")))
    first, second = (plan.run_folder(point, 0) for point in plan.points)
    save(population.checkpoints_of(second), 2, 2.0)
    (first / "checkpoints").make()
    (first / damaged).write_bytes(b"{")
    assert population_based(plan)._next_perturbation_sync == 2
    assert [one["point"] for one in trials_of(plan)] == plan.points


@pytest.mark.parametrize(
    ("axis", "values", "kept"),
    [
        ({"uniform": [0, 1]}, [0.25, 0.5, 1.7], [0.25, 0.5, 1.0]),
        ({"loguniform": [1, 4]}, [1.5, 0.5, 4.8], [1.5, 1.0, 4.0]),
        ({"integers": [1, 4]}, [2, 0, 5], [2, 1, 4]),
    ],
)
def test_changed_values_stay_within_their_bounds_and_between_whole_ones(some_digits, tmp_path, axis, values, kept):
    parts = {"space": {"optimizer.clip_norm": axis}, "searcher": "random", "budget": BudgetConfig(trials=2)}
    plan = Plan.of(config(str(some_digits.location), tmp_path, scheduler=SchedulerConfig("pbt"), **parts))
    explore = population_based(plan)._custom_explore_fn
    changed = [explore({"trial": {"point": {"optimizer.clip_norm": value}}})["trial"]["point"] for value in values]
    assert [repr(point["optimizer.clip_norm"]) for point in changed] == [repr(value) for value in kept]
