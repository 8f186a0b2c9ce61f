"""Fixtures shared by the tests: golden files, real digits as shards, a local Ray, an MLflow store."""

from __future__ import annotations

import ast
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient

from tests.helpers.runs.recorded_runs import Store

pytest_plugins = ("tests.helpers.fixtures", "tests.helpers.machines.processes")

GOLDEN = Path(__file__).parent / "golden"
JOBS = {"straight", "clustered"}  # fixtures that are made by a whole job
USERS_OF_ONE_RUN = (
    "pipelines/evaluation", "pipelines/probing", "pipelines/tracking/about/test_page_in_a_browser.py",
    "pipelines/training/test_loop.py", "quorum/test_training.py", "quorum/upkeep/test_clean.py", "tune",
)  # fmt: skip


def pytest_configure() -> None:
    """Heed the signals that a background shell has its commands ignore, here and in processes that are started from here."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what needs a whole job, and what shares a Ray.

    Two processes have a Ray each, started once: one has the tests of the run `straight`, the other the rest of Ray's.
    """
    if JOBS & {*getattr(item, "fixturenames", ())}:
        item.add_marker(pytest.mark.job)
    if item.get_closest_marker("ray"):
        place = item.path.relative_to(Path(__file__).parent)
        one = any(place.is_relative_to(part) for part in USERS_OF_ONE_RUN)
        item.add_marker(pytest.mark.xdist_group("Ray of one run" if one else "Ray of the rest"))


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    """Read a recorded reference run: tensors by name, and its settings."""

    def read(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        archive = np.load(GOLDEN / f"{name}.npz")
        tensors = {key: torch.from_numpy(archive[key]) for key in archive if key != "meta"}
        return tensors, ast.literal_eval(str(archive["meta"][0]))

    return read


@pytest.fixture(scope="session")
def local_ray() -> None:
    """A local Ray for the session; four logical CPUs leave room for two workers and the stream.

    It ends with this process, and so do workers of it that hang as they end.
    """
    from pipelines.jobs.ray_cluster import connect

    connect("local", local_cpus=4)


@pytest.fixture(scope="session")
def digits(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """scikit-learn's digits, ingested."""
    from pipelines.ingest.ingest import ingest
    from pipelines.ingest.recognise import open_source

    folder = tmp_path_factory.mktemp("data") / "digits"
    ingest(open_source("digits"), str(folder), name="digits", rows_per_shard=500)
    return str(folder)


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data base with MLflow's tables and no runs; making it takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("tables") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of the test's own, in the folder that it runs in; no other is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "outputs"
    folder.mkdir()
    shutil.copy(tables, folder / "mlflow.db")
    return Store(folder)
