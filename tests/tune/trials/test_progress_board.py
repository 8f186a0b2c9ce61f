"""The board: states of trials from what they noted, and a budget of epochs over all of them."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest

from pipelines.errors import UserError
from tests.helpers.runs.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig
from tune.trials.progress_board import UNTOLD, Board
from tune.trials.trial import OUTCOME_FILE, is_over, outcome_of, refusals_noted, write_outcome


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


def test_a_trial_that_was_refused_ended_by_itself_and_has_failed_for_the_reason_that_it_noted(plan):
    board, one = Board(plan), trial(plan, 0)
    board.on_trial_start(0, [], one)
    folder = plan.run_folder(plan.points[0], 0).make()
    with refusals_noted(folder):
        raise UserError("the loss is nan; lower optimizer.lr")
    board.on_trial_complete(0, [], one)
    (line,) = board.lines.values()
    assert (line.state, line.reason) == ("failed", "the loss is nan; lower optimizer.lr")
    assert not is_over(folder)  # a resumed sweep tries it again


@pytest.mark.parametrize("stored", [b"", pickle.dumps(ValueError("no room"))[:-4]])
def test_a_failure_of_which_ray_tune_could_not_write_down_why_is_said_all_the_same(plan, stored):
    board, one = Board(plan), trial(plan, 0)
    one.get_pickled_error, one.get_error = lambda: pickle.loads(stored), lambda: None
    board.on_trial_error(0, [], one)
    board.explain()
    (line,) = board.lines.values()
    assert (line.state, line.reason) == ("failed", UNTOLD)


def test_a_trial_whose_note_of_its_end_is_damaged_is_gone_on_with(plan):
    folder = plan.run_folder(plan.points[0], 0).make()
    (folder / OUTCOME_FILE).write_bytes(b'{"outc')
    assert outcome_of(folder) is None
    assert not is_over(folder)
