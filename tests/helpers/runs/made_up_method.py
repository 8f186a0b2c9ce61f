"""A method that is one folder, as a later one will be: put where methods are found, it is configured, checked and built."""

from __future__ import annotations

from pathlib import Path

CONFIG = """
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MeanConfig:
    name: Literal["mean"] = "mean"
    weight: float = 1.0

    def __post_init__(self):
        if self.weight <= 0:
            raise ValueError(f"method.weight is {self.weight}; it must be positive")
"""
SPEC = """
from algos.methods.made_up.config import MeanConfig


class MeanSpec:
    name, command, config_type, takes_labels = "mean", "pretrain", MeanConfig, False

    def check(self, config, setup):
        if setup.large_views != 1:
            raise ValueError("method mean takes one view; set views.large to 1")

    def clusters(self, config, num_instances):
        return [num_instances // 10]

    def build(self, config, backbone, setup):
        return config, backbone, setup


SPEC = MeanSpec()
"""


def write_method(folder: Path) -> Path:
    """The method's folder below `folder`, which then belongs on the path of `algos.methods`."""
    place = folder / "made_up"
    place.mkdir()
    for name, text in (("__init__", ""), ("config", CONFIG), ("spec", SPEC)):
        (place / f"{name}.py").write_text(text)
    return folder
