"""Fixtures shared by the tests: golden files, real digits as shards, a local Ray, and a pool of gloo processes."""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mlflow.tracking import MlflowClient

from tests.helpers.recorded_runs import Store

pytest_plugins = ("tests.helpers.fixtures",)

ONE_RAY = "one Ray"
GOLDEN = Path(__file__).parent / "golden"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put all tests of one Ray into one process, where it starts once; the others run beside them."""
    if item.get_closest_marker("ray"):
        item.add_marker(pytest.mark.xdist_group(ONE_RAY))


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    """Read a recorded reference run: tensors by name, and its settings."""

    def read(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        archive = np.load(GOLDEN / f"{name}.npz")
        tensors = {key: torch.from_numpy(archive[key]) for key in archive if key != "meta"}
        return tensors, ast.literal_eval(str(archive["meta"][0]))

    return read


def _worker(rank: int, workers: int, meeting: str, function: Callable[..., Any], args: tuple[Any, ...], results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    try:
        results[rank] = function(*args)
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="session")
def gloo() -> Callable[..., list[Any]]:
    """Run `function(*args)` in `workers` real processes of one gloo group; returns each one's result by rank."""

    context = mp.get_context("forkserver")  # workers are copies of a process that has the imports behind it
    context.set_forkserver_preload(["torch.distributed", "algos.methods.coke.method", "algos.methods.protocon.method"])

    def run(workers: int, function: Callable[..., Any], *args: Any) -> list[Any]:
        # Workers meet in a file: a port that was free a moment ago may be another suite's by now.
        with context.Manager() as manager, tempfile.TemporaryDirectory() as folder:
            results = manager.dict()
            arguments = (workers, f"{folder}/meeting", function, args, results)
            mp.start_processes(_worker, arguments, nprocs=workers, start_method="forkserver")
            return [results[rank] for rank in range(workers)]

    return run


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A local Ray for the session; four logical CPUs leave room for two workers and the stream."""
    import ray

    from pipelines.jobs.ray_cluster import connect

    connect("local", local_cpus=4)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def digits(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """scikit-learn's digits, ingested."""
    from pipelines.ingest.ingest import ingest
    from pipelines.ingest.sources.recognise import open_source

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
