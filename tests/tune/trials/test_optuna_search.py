"""Optuna's proposals through Ray Tune's own searcher: what it is told, and what it is spared."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from tune.trials.optuna_search import Proposals

REFUSED: list[float] = []  # learning rates of trials that noted why they failed


@pytest.fixture
def searcher():
    made = Proposals(lambda point: point["optimizer.lr"] in REFUSED, seed=0)
    assert made.set_search_properties(
        "test/knn_top1", "max", {"trial": {"point": {"optimizer.lr": tune.uniform(0.0, 1.0)}, "seed": 0}}
    )
    return made


def test_it_says_nothing_of_itself_in_the_terminal():
    made = (
        "import ray.tune; from tune.trials.optuna_search import Proposals; made = Proposals(lambda point: False, seed=0); "
        "point = {'K': ray.tune.choice([[10, 20], [30]]), 'optimizer.lr': ray.tune.uniform(0.0, 1.0)}; "
        "made.set_search_properties('val/knn_top1', 'max', {'trial': {'point': point, 'seed': 0}}); made.suggest('a')"
    )
    done = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def states(searcher) -> list:
    return searcher._ot_study.trials


def test_a_result_without_the_score_is_passed_over_and_the_best_one_counts(searcher):
    proposed = searcher.suggest("a")
    assert 0 <= proposed["trial"]["point"]["optimizer.lr"] <= 1
    for step, value in enumerate((None, 0.5, 0.9, None, 0.7), start=1):
        searcher.on_trial_result("a", {"training_iteration": step} | ({} if value is None else {"test/knn_top1": value}))
    searcher.on_trial_complete("a", {"training_iteration": 5})
    (trial,) = states(searcher)
    assert (trial.state, trial.value) == (optuna.trial.TrialState.COMPLETE, 0.9)


def test_a_trial_without_any_score_is_no_observation(searcher):
    searcher.suggest("a")
    searcher.on_trial_complete("a", None, error=True)
    (trial,) = states(searcher)
    assert (trial.state, trial.value) == (optuna.trial.TrialState.FAIL, None)


def test_a_trial_that_was_refused_is_no_observation_however_good_it_was_before(searcher, monkeypatch):
    monkeypatch.setitem(globals(), "REFUSED", [searcher.suggest("a")["trial"]["point"]["optimizer.lr"]])
    searcher.on_trial_result("a", {"training_iteration": 1, "knn_top1": 0.9})
    searcher.on_trial_complete("a", {"training_iteration": 1, "knn_top1": 0.9})
    (trial,) = states(searcher)
    assert (trial.state, trial.value) == (optuna.trial.TrialState.FAIL, None)


def test_ray_tunes_own_searcher_wants_the_score_in_every_result():
    plain = OptunaSearch(space={"lr": tune.uniform(0.0, 1.0)}, metric="knn_top1", mode="max")
    plain.suggest("a")
    with pytest.raises(KeyError, match="knn_top1"):
        plain.on_trial_result("a", {"training_iteration": 1})
