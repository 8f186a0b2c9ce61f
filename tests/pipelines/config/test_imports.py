"""Configurations are there at once: what makes a command answer late is not loaded to read or explain options."""

from __future__ import annotations

import pkgutil

import pytest

import pipelines.config
from algos.methods.registry import method_specs
from tests.helpers.machines.fresh_imports import loaded_by

HEAVY = {"torch", "ray", "mlflow", "pyarrow", "pandas", "scipy", "sklearn", "torchvision", "timm", "kornia", "matplotlib"}
CONFIGURATION = [
    *(f"pipelines.config.{module.name}" for module in pkgutil.iter_modules(pipelines.config.__path__)),
    *(f"algos.methods.{name}.{part}" for name in method_specs() for part in ("config", "spec")),
    "algos.methods.registry", "algos.kmeans", "algos.estimator", "pipelines.clustering.config", "tune.search.sweep_config",
]  # fmt: skip


def test_all_together_load_nothing_heavy():
    assert loaded_by(*CONFIGURATION) & HEAVY == set()


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATION)
def test_each_alone_loads_nothing_heavy(module):
    assert loaded_by(module) & HEAVY == set()
