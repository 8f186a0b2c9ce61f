"""A run that is gone on with has the checkpoints that its journal tells of, or it is said."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.tracking.figures import EPOCH
from pipelines.tracking.journal import Journal
from pipelines.tracking.mlflow_store import RunAddress
from pipelines.training.resuming import check_checkpoints


def run_of(folder, *, told, saved):
    """A run with so many epochs in its journal, and a checkpoint of the end of another one."""
    run = Run(Location.of(folder), "pretrain", RunAddress("", "1", "a"), {})
    journal = Journal(folder)
    for epoch in range(told):
        journal.append({"kind": "metrics", "step": epoch, "time": 0, "values": {EPOCH: float(epoch)}})
    journal.close()
    if saved:
        run.checkpoints.save({}, epoch=saved, step=0, global_step=saved)
    return run


@pytest.mark.parametrize(("told", "saved"), [(0, 0), (1, 0), (2, 1), (2, 2), (1, 2)])
def test_a_run_that_was_killed_at_any_moment_goes_on_without_a_word(tmp_path, capsys, told, saved):
    check_checkpoints(run_of(tmp_path, told=told, saved=saved))
    assert capsys.readouterr().err == ""


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again_in_silence(tmp_path):
    with pytest.raises(UserError, match=r"has ended 3 epochs by its journal, and .*/checkpoints has no checkpoint; restore"):
        check_checkpoints(run_of(tmp_path, told=3, saved=0))


def test_a_run_whose_newest_checkpoints_are_gone_says_where_it_goes_on(tmp_path, capsys):
    check_checkpoints(run_of(tmp_path, told=5, saved=2))
    assert "its newest checkpoint, step-000000002.pt, is of epoch 2: it goes on from there" in capsys.readouterr().err
