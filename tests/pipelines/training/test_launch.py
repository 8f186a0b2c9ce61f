"""What a training says and refuses before it starts."""

from __future__ import annotations

import pytest

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from pipelines.training.launch import Training


def training(some_digits, **settings):
    settings = {"data": str(some_digits.location), "epochs": 2, **settings}
    return Training(read_recipe("coke_digits", PretrainConfig, settings), None, None)


def test_a_stage_that_the_run_does_not_come_to_is_told(some_digits, capsys):
    training(some_digits).check()
    told = "optimizer.warmup_epochs is 2, and the run has 2 epochs: it ends before the learning rate comes to optimizer.lr"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["..", "a/b"])
def test_a_run_lies_in_its_storage(some_digits, name):
    with pytest.raises(UserError, match=r"name is .*, and a run's folder has its name"):
        _ = training(some_digits, name=name).place
