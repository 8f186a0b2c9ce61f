"""What Ray Tune writes into a sweep's folder has no secret in it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pyarrow.fs as pafs
import pytest
import ray
import ray.tune

from pipelines.config.sections import TrackingConfig
from pipelines.errors import UserError
from pipelines.files.location import Location
from tests.helpers.machines.s3 import KEYS, serving_with_keys
from tests.helpers.runs.sweeps import config, small
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig, SchedulerConfig
from tune.trials.progress_board import Board
from tune.trials.ray_tuner import build_tuner
from tune.trials.sweep import sweep
from tune.trials.trial import SweepContext
from tune.trials.unwritten import Unwritten, storage_of
from tune.trials.wish import SweepWish

SECRET = "hunter2"


def files_with_the_secret(folder: Path, secret: str = SECRET) -> list[str]:
    """Files that have it as it is, or in the hexadecimal digits of a pickle."""
    forms = (secret.encode(), secret.encode().hex().encode())
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if any(form in path.read_bytes() for form in forms)]


@pytest.mark.ray
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"searcher": "optuna", "concurrent": 1, "budget": BudgetConfig(trials=2)},
        {"scheduler": SchedulerConfig("pbt"), "space": {"optimizer.lr": {"grid": [0.1, 0.2]}}},
    ],
)
def test_the_sweep_as_ray_tune_keeps_it_has_no_secret(local_ray, some_digits, tmp_path, parts):
    tracking = TrackingConfig(uri=f"http://me:{SECRET}@mlflow.example")
    plan = Plan.of(config(str(some_digits.location), tmp_path, tracking=tracking, **parts))
    assert SECRET in plan.store[0]
    board = Board(plan)
    tuner = build_tuner(SweepContext(plan, "parent", {}, "node", False, SweepWish(), 2), board)
    assert board.plan is plan
    if search := tuner._local_tuner._tune_config.search_alg:
        search.save(str(tmp_path / "searcher-state.pkl"))
    assert list(tmp_path.rglob("tuner.pkl"))
    assert files_with_the_secret(tmp_path) == []


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_a_storage_whose_address_has_a_secret_is_sent_to_trials_and_not_written(local_ray, tmp_path):
    (tmp_path / SECRET).mkdir()
    inner = pafs.SubTreeFileSystem(str(tmp_path / SECRET), pafs.LocalFileSystem())  # which a pickle of it names
    folder = Location(inner, "sweep", f"s3://me:{SECRET}@bucket/sweep")
    assert SECRET.encode() in pickle.dumps(inner)

    def train(settings):
        handed = ray.tune.get_checkpoint()
        assert handed is None
        Path("state.json").write_text(json.dumps(settings))
        ray.tune.report({"score": settings["x"]}, checkpoint=ray.tune.Checkpoint.from_directory("."))

    run = ray.tune.RunConfig(name="tune-1", storage_path=folder.path, storage_filesystem=storage_of(folder), verbose=0)
    found = ray.tune.Tuner(train, param_space={"x": ray.tune.grid_search([1, 2])}, run_config=run).fit()
    assert sorted(result.metrics["score"] for result in found) == [1, 2]
    assert sorted(path.name for path in (tmp_path / SECRET).rglob("state.json")) == ["state.json"] * 2
    assert files_with_the_secret(tmp_path) == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_population_on_a_bucket_whose_address_has_the_key_leaves_no_key_there(local_ray, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"monitor.knn_epochs": 0, "monitor.picture_epochs": 0}
    with serving_with_keys() as server:
        secret = KEYS["AWS_SECRET_ACCESS_KEY"]
        place = server.uri("kept").replace("://", f"://{KEYS['AWS_ACCESS_KEY_ID']}:{secret}@", 1)
        sweep(
            small(
                digits, place, space={"optimizer.lr": {"grid": [0.03, 1e-8]}}, settings=settings, concurrent=None,
                scheduler=SchedulerConfig("pbt", share=0.5), tracking=TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"),
            )
        )  # fmt: skip
        kept = server.download("kept", tmp_path / "down")
    assert files_with_the_secret(kept, secret) == []
    assert len(list(kept.rglob("lineage.json"))) == 1
    assert not list(kept.rglob("step-*-0.pt"))


def test_a_storage_without_a_secret_is_as_it_is(tmp_path):
    folder = Location.of(tmp_path)
    assert storage_of(folder) is folder.filesystem


def test_what_is_pickled_of_an_unwritten_value_is_nothing():
    value = Unwritten({"uri": SECRET})
    assert value() == {"uri": SECRET}
    assert SECRET.encode() not in pickle.dumps(value)
    with pytest.raises(RuntimeError):
        pickle.loads(pickle.dumps(value))()


def test_a_space_with_a_secret_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"space\.init_from\.grid has an address with a key or a password") as refused:
        config("digits", tmp_path, space={"init_from": {"grid": [f"s3://me:{SECRET}@bucket/run", "s3://bucket/run"]}})
    assert SECRET not in str(refused.value)
