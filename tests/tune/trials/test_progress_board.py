"""The board: states of trials from what they noted, and a budget of epochs over all of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import ray
from ray.util.placement_group import placement_group, placement_group_table

from pipelines.jobs.train_job import PLACEMENT
from tests.helpers.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig
from tune.trials import progress_board as board_module
from tune.trials.progress_board import Board
from tune.trials.trial import outcome_of, write_outcome


@pytest.fixture
def plan(some_digits, tmp_path):
    return Plan.of(config(str(some_digits.location), tmp_path, budget=BudgetConfig(epochs=3)))


def trial(plan, index):
    return SimpleNamespace(trial_id=f"run_{index:05d}", config={"trial": {"point": plan.points[index], "seed": 0}})


def epoch(board, one, number, **more):
    board.on_trial_result(
        0, [], one, {"progress/epoch": number, "progress/images_seen": 100 * (number + 1), "train/epoch_loss": 1.0, **more}
    )


def test_epochs_of_all_trials_count_and_replayed_ones_do_not(plan):
    board, first, second = Board(plan), trial(plan, 0), trial(plan, 1)
    for one in (first, second):
        board.on_trial_start(0, [], one)
    epoch(board, first, 0, replayed=1)
    for one in (first, second):
        epoch(board, one, 1)
    assert not board.must_stop("", {})
    epoch(board, second, 2)
    assert board.must_stop("", {})


def test_a_trial_that_notes_its_end_is_finished_and_one_that_does_not_was_stopped(plan):
    board, first, second = Board(plan), trial(plan, 0), trial(plan, 1)
    for one in (first, second):
        board.on_trial_start(0, [], one)
        plan.run_folder(one.config["trial"]["point"], 0).make()
    write_outcome(plan.run_folder(plan.points[0], 0), "finished")
    for one in (first, second):
        board.on_trial_complete(0, [], one)
    assert (board.count("finished"), board.count("stopped")) == (1, 1)
    assert outcome_of(plan.run_folder(plan.points[1], 0)) == "stopped"


def test_a_trial_cut_by_the_budget_has_no_outcome_and_can_go_on(plan):
    board, one = Board(plan), trial(plan, 0)
    board.on_trial_start(0, [], one)
    folder = plan.run_folder(plan.points[0], 0).make()
    for number in range(3):
        epoch(board, one, number)
    board.on_trial_complete(0, [], one)
    assert outcome_of(folder) is None


@pytest.mark.ray
@pytest.mark.parametrize(("grace", "state"), [(0.0, "REMOVED"), (100.0, "CREATED")])
def test_what_a_stopped_trial_reserved_is_freed_when_its_driver_is_gone(plan, local_ray, monkeypatch, grace, state):
    monkeypatch.setattr(board_module, "GRACE_SECONDS", grace)
    group = placement_group([{"CPU": 1}])
    ray.get(group.ready())
    board, one = Board(plan), trial(plan, 0)
    board.on_trial_start(0, [], one)
    plan.run_folder(plan.points[0], 0).make()
    epoch(board, one, 0, **{PLACEMENT: group.id.hex()})
    board.on_step_end(0, [])
    assert placement_group_table(group)["state"] == "CREATED"  # the trial is running
    board.on_trial_complete(0, [], one)
    board.on_step_end(0, [])
    assert placement_group_table(group)["state"] == state
    board_module.free(group.id.hex())
    board_module.free(group.id.hex())  # does no harm twice


@pytest.mark.ray
@pytest.mark.parametrize(("outcome", "state"), [(None, "REMOVED"), ("finished", "CREATED")])
def test_a_sweep_ends_when_what_was_stopped_last_is_freed(plan, local_ray, monkeypatch, outcome, state):
    monkeypatch.setattr(board_module, "GRACE_SECONDS", 0.5)
    group = placement_group([{"CPU": 1}])
    ray.get(group.ready())
    board, one = Board(plan), trial(plan, 0)
    board.on_trial_start(0, [], one)
    folder = plan.run_folder(plan.points[0], 0).make()
    epoch(board, one, 0, **{PLACEMENT: group.id.hex()})
    if outcome:
        write_outcome(folder, outcome)
    board.on_trial_complete(0, [], one)
    board.on_experiment_end([])
    assert placement_group_table(group)["state"] == state  # a run that ended by itself has freed its own
    board_module.free(group.id.hex())
