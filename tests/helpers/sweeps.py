"""A sweep over the digits."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.places import RECIPES
from tune.search.sweep_config import SweepConfig


def config(shards: str, storage: Path, **parts) -> SweepConfig:
    given = {
        "kind": "pretrain", "recipe": str(RECIPES / "coke_digits.yaml"), "name": "try", "storage": str(storage),
        "settings": {"data": shards, "epochs": 2}, "space": {"ratio": {"grid": [0.4, 1.0]}},
        "metric": "train/epoch_loss", "mode": "min",
    }  # fmt: skip
    return SweepConfig(**(given | parts))
