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


def small(digits: str, storage: Path, **parts) -> SweepConfig:
    """A sweep over two learning rates, one trial after the other, each of which takes seconds."""
    settings = {
        "data": digits, "epochs": 2, "batch_size": 64, "method.dim": 16, "method.predictor_hidden": 16,
        "backbone": {"name": "wrn-10-1", "stem": "auto", "options": {}}, "checkpoint.every_steps": 7, "monitor.knn_epochs": 0,
        "monitor.picture_epochs": 0, "compute.threads": 1,
    }  # fmt: skip
    space = {"optimizer.lr": {"grid": [0.03, 0.05]}}
    parts["settings"] = settings | parts.get("settings", {})
    return config(digits, storage, **({"concurrent": 1, "space": space, "name": "sweep"} | parts))
