"""Ray Train: each work-around works, and is still needed - a test that fails says which one can go."""

from __future__ import annotations

import contextlib
import json
import signal

import pytest
import ray
import ray.data
from ray.train import ScalingConfig
from ray.train.v2._internal.constants import (
    DEFAULT_HEALTH_CHECK_INTERVAL_S,
    HEALTH_CHECK_INTERVAL_S_ENV_VAR,
    get_env_vars_to_propagate,
)
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from pipelines.jobs.ray_quirks import train
from pipelines.jobs.ray_quirks.train import (
    DRAINS,
    LOOKS,
    SECONDS_BETWEEN_LOOKS,
    TRAIN_ALONE,
    few_actors,
    know_their_settings,
    no_handlers,
    settings_of_train,
)
from tests.helpers.machines.own_python import said_by


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_of_ray_train_has_no_actor_without_a_use(monkeypatch, alone):
    monkeypatch.delenv(DRAINS, raising=False)
    trainer = DataParallelTrainer(lambda: None, scaling_config=ScalingConfig(num_workers=1))

    def names() -> set[str]:
        return {type(each).__name__ for each in trainer._create_default_callbacks()}

    everything = names()
    assert everything >= {"DatasetsCallback", "PlacementGroupCleanerCallback", "BackendSetupCallback"}
    with few_actors(trainer, alone=alone):
        assert everything - names() == {"DatasetsCallback"} | ({"PlacementGroupCleanerCallback"} if alone else set())


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_of_ray_train_is_sent_its_settings_where_ray_was_not_started_with_them(monkeypatch, alone):
    for name in (DRAINS, LOOKS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(train, "_TOLD", set())
    with settings_of_train(alone=alone):
        assert get_env_vars_to_propagate() == {DRAINS: "0" if alone else "1", LOOKS: SECONDS_BETWEEN_LOOKS}
    assert get_env_vars_to_propagate() == {}
    assert HEALTH_CHECK_INTERVAL_S_ENV_VAR == LOOKS
    assert DEFAULT_HEALTH_CHECK_INTERVAL_S > 1  # seldom


@pytest.mark.parametrize("told", [False, True])
def test_settings_of_ray_train_stay_as_the_user_says(monkeypatch, told):
    monkeypatch.setattr(train, "_TOLD", {ray._private.worker._global_node} if told else set())
    given = {DRAINS: "1", LOOKS: "3"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with settings_of_train(alone=True):
        assert get_env_vars_to_propagate() == given
    assert get_env_vars_to_propagate() == given
    assert not know_their_settings()


SETTINGS_OF_JOBS = """
import json, os, pathlib, ray, sys
from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from pipelines.jobs.ray_cluster import connect
from pipelines.jobs.ray_quirks.train import TRAIN_ALONE, few_actors, in_the_controller, settings_of_train

def work(config):
    told = {name: os.environ[name] for name in TRAIN_ALONE}
    pathlib.Path(config["to"]).write_text(json.dumps([told, json.loads(ray.get_runtime_context().get_runtime_env_string())]))

connect("local", local_cpus=2)
os.environ |= dict(word.split("=") for word in sys.argv[2:])
trainer = DataParallelTrainer(
    work, train_loop_config={"to": sys.argv[1] + "/told.json"}, scaling_config=ScalingConfig(num_workers=1),
    run_config=RunConfig(storage_path=sys.argv[1], callbacks=[in_the_controller()]),
)
with few_actors(trainer, alone=True), settings_of_train(alone=True):
    trainer.fit()
"""


@pytest.mark.slow
def test_processes_that_know_ray_trains_settings_have_no_environment_of_their_own(tmp_path):
    said_by(SETTINGS_OF_JOBS, str(tmp_path))
    told, environment = json.loads((tmp_path / "told.json").read_text())
    assert told == TRAIN_ALONE
    assert environment.get("env_vars", {}) == {}


@pytest.mark.slow
def test_a_setting_that_the_user_gives_after_the_start_reaches_the_workers(tmp_path):
    said_by(SETTINGS_OF_JOBS, str(tmp_path), f"{LOOKS}=0.75")
    told, environment = json.loads((tmp_path / "told.json").read_text())
    assert told == TRAIN_ALONE | {LOOKS: "0.75"}
    assert environment["env_vars"][LOOKS] == "0.75"


@pytest.mark.ray
@pytest.mark.slow
def test_ray_train_leaves_its_handler_of_interrupts_behind_unless_it_is_set_back(local_ray, tmp_path):
    def job(*, quiet: bool) -> None:
        config = ray.train.RunConfig(storage_path=str(tmp_path))
        trainer = DataParallelTrainer(lambda: None, scaling_config=ScalingConfig(num_workers=1), run_config=config)
        with no_handlers(trainer) if quiet else contextlib.nullcontext():
            trainer.fit()

    before = signal.getsignal(signal.SIGINT)
    try:
        job(quiet=True)
        assert signal.getsignal(signal.SIGINT) is before
        job(quiet=False)
        assert signal.getsignal(signal.SIGINT) is not before
    finally:
        signal.signal(signal.SIGINT, before)


def test_ray_train_registers_its_handler_where_we_leave_it_out():
    assert callable(DataParallelTrainer._register_sigint_handler)
