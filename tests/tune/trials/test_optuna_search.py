"""Optuna's proposals through Ray Tune's own searcher: what it is told, and what it is spared."""

from __future__ import annotations

import optuna
import pytest
from ray import tune

from tune.trials.optuna_search import Proposals


@pytest.fixture
def searcher():
    made = Proposals(seed=0)
    assert made.set_search_properties(
        "test/knn_top1", "max", {"trial": {"point": {"optimizer.lr": tune.uniform(0.0, 1.0)}, "seed": 0}}
    )
    return made


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
