"""A run that ends before its learning rate has risen says so."""

from __future__ import annotations

import pytest

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.training.launch import say_of_warmup


@pytest.mark.parametrize(("epochs", "told"), [(1, True), (2, True), (3, False)])
def test_a_warmup_as_long_as_the_run_is_told(epochs, told, capsys):
    config = read_recipe("coke_digits", PretrainConfig, {"epochs": epochs, "optimizer.warmup_epochs": 2})
    say_of_warmup(config)
    line = (
        f"optimizer.warmup_epochs is 2, and the run has {epochs} epochs: it ends before the learning rate comes to optimizer.lr"
    )
    assert (line in "".join(capsys.readouterr())) is told
