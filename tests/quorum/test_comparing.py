"""A sweep whose trials are over and whose comparison is not made says what is left to do."""

from __future__ import annotations

import signal

import pytest

from pipelines.errors import Stopped, UserError
from quorum.comparing import _trials_over
from tune.comparison.compare import compare


def test_a_comparison_that_is_refused_says_that_the_trials_are_over(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.5,))
    (store.folder / "comparison").write_text("")  # in the place of its folder
    with pytest.raises(UserError) as refused, _trials_over("outputs/sweep"):
        compare([parent], to="outputs/comparison")
    assert str(refused.value).startswith("the trials are over, and not compared: outputs/comparison cannot be written: ")
    assert str(refused.value).endswith("; compare them: quorum compare outputs/sweep")


def test_a_comparison_that_is_stopped_says_so_too():
    with pytest.raises(Stopped, match="are over, compare them: quorum compare outputs/sw") as said, _trials_over("outputs/sw"):
        raise Stopped(signal.SIGTERM)
    assert said.value.number == signal.SIGTERM
