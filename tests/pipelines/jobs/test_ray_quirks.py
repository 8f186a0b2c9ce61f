"""Each work-around of Ray: that it is still needed - a test that fails says which one can go - and that it works."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import ray
import ray.data
from ray.data._internal.stats import get_or_create_stats_actor
from ray.train import ScalingConfig
from ray.train.v2._internal.constants import (
    DEFAULT_HEALTH_CHECK_INTERVAL_S,
    HEALTH_CHECK_INTERVAL_S_ENV_VAR,
    get_env_vars_to_propagate,
)
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.tune import PlacementGroupFactory
from ray.tune.trainable import wrap_function
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.state import get_actor

from pipelines.jobs import ray_quirks
from pipelines.jobs.ray_quirks import (
    DASHBOARD,
    DRAINS,
    LOOKS,
    NEXT_TO_NOTHING,
    NOWHERE,
    PAUSE,
    SECONDS_BETWEEN_LOOKS,
    TRAIN_ALONE,
    Breather,
    ends_with_its_function,
    few_actors,
    few_processes,
    free_orphans,
    knock,
    know_their_settings,
    no_dashboard,
    no_handlers,
    same_in_statistics,
    settings_of_train,
)  # fmt: skip
from pipelines.stream.ray_data import configure_ray_data


def said_by(code: str, *given: str) -> str:
    """What a Python of its own says: this one may have a Ray already."""
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, timeout=200, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def dead_port():
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@ray.remote(num_cpus=0, max_retries=0)
def ask_for_an_actor(folder: str, dashboard: str | None) -> None:
    """Ask whether an actor lives, as Ray Train does, where a Ray that is gone has left its address."""
    os.environ.pop(DASHBOARD, None)
    os.environ.pop("RAY_ADDRESS", None)
    os.environ |= {"RAY_TMPDIR": folder} | ({DASHBOARD: dashboard} if dashboard else {})
    with contextlib.suppress(Exception):
        get_actor("0" * 32, timeout=30)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_searches_long_for_a_dashboard_that_is_not_there(local_ray, dead_port, tmp_path):
    for folder in (tmp_path, tmp_path / "ray"):
        folder.mkdir(exist_ok=True)
        (folder / "ray_current_cluster").write_text(f"127.0.0.1:{dead_port}")
    searching = ask_for_an_actor.remote(str(tmp_path), None)
    told = ask_for_an_actor.remote(str(tmp_path), NOWHERE)
    assert ray.wait([searching, told], num_returns=2, timeout=10) == ([told], [searching])
    ray.cancel(searching, force=True)


@pytest.mark.ray
def test_the_processes_of_a_local_ray_look_for_no_dashboard(local_ray):
    assert ray.get(ray.remote(lambda: os.environ.get(DASHBOARD)).remote()) == os.environ.get(DASHBOARD, NOWHERE)


@pytest.mark.parametrize("given", [None, "http://head:8265"])
def test_a_dashboard_that_was_named_is_kept(monkeypatch, given):
    monkeypatch.delenv(DASHBOARD, raising=False)
    if given:
        monkeypatch.setenv(DASHBOARD, given)
    with no_dashboard():
        assert os.environ[DASHBOARD] == (given or NOWHERE)
    assert os.environ.get(DASHBOARD) == given


@pytest.mark.slow
def test_ray_writes_lines_among_those_of_a_command_unless_it_is_kept_from_it():
    code = """
import contextlib, logging, os, psutil, ray, sys, time
from pipelines.jobs.ray_quirks import few_processes, few_words
with few_processes(), few_words(alone=True) if sys.argv[1:] else contextlib.nullcontext():
    ray.init(address="local", include_dashboard=False, num_cpus=1, log_to_driver=False, logging_level=logging.ERROR)
class Actor:
    def __init__(self, given): pass
    def ready(self): return "an actor is ready"
print(ray.get(ray.remote(max_restarts=-1)(Actor).remote(ray.put(1)).ready.remote()), flush=True)
next(each for each in psutil.Process().children() if each.name() == "raylet").kill()
with contextlib.suppress(Exception):
    ray.get(ray.remote(lambda: 7).remote(), timeout=8)
time.sleep(3)
os.write(2, b"the terminal is there")
os._exit(0)
"""
    everything = said_by(code)
    assert "has constructor arguments in the object store" in everything
    assert "Raylet is terminated" in everything
    assert said_by(code, "few").split("\n") == ["an actor is ready", "the terminal is there"]


def test_a_level_of_logging_that_was_given_is_kept(monkeypatch):
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "debug")
    code = """
import os
from ray._private import worker
from pipelines.jobs.ray_quirks import few_words
worker.connect = lambda: os.system("echo $RAY_BACKEND_LOG_LEVEL >&2")
with few_words(alone=True):
    worker.connect()
"""
    assert said_by(code) == "debug\n"


@pytest.mark.slow
def test_ray_starts_processes_that_one_machine_has_no_use_for_unless_they_are_left_out():
    code = """
import contextlib, psutil, ray, sys
from pipelines.jobs.ray_quirks import few_processes
with few_processes() if sys.argv[1:] else contextlib.nullcontext():
    ray.init(address="local", include_dashboard=False, num_cpus=1)
words = [" ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)]
print({name: any(name in each for each in words) for name in ("dashboard.py", "monitor.py", "log_monitor.py")})
print("task", ray.get(ray.remote(lambda: 7).remote()))
"""
    everything, few = said_by(code), said_by(code, "few")
    assert "{'dashboard.py': True, 'monitor.py': True, 'log_monitor.py': True}" in everything
    assert "{'dashboard.py': False, 'monitor.py': False, 'log_monitor.py': False}" in few
    assert "task 7" in few


def test_a_ray_that_starts_later_has_all_of_its_processes_again():
    from ray._private import node, utils

    before = node.Node.start_api_server, utils.get_dashboard_dependency_error
    with few_processes():
        assert utils.get_dashboard_dependency_error() is not None
        assert node.Node.start_api_server is not before[0]
    assert (node.Node.start_api_server, utils.get_dashboard_dependency_error) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Ray ends its processes by their group")
@pytest.mark.parametrize("apart", [False, True])
def test_ray_gets_the_signals_of_its_drivers_group_unless_its_processes_are_apart(apart):
    code = """
import contextlib, os, psutil, ray, sys
from pipelines.jobs.ray_quirks import in_groups_of_their_own
with in_groups_of_their_own() if sys.argv[1:] else contextlib.nullcontext():
    ray.init(address="local", include_dashboard=False, num_cpus=1)
print("mine", {name: any(os.getpgid(each.pid) == os.getpgrp() for each in psutil.Process().children() if each.name() == name)
               for name in ("raylet", "gcs_server")})
"""
    assert f"mine {{'raylet': {not apart}, 'gcs_server': {not apart}}}" in said_by(code, *(["apart"] if apart else []))


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
    monkeypatch.setattr(ray_quirks, "_TOLD", set())
    with settings_of_train(alone=alone):
        assert get_env_vars_to_propagate() == {DRAINS: "0" if alone else "1", LOOKS: SECONDS_BETWEEN_LOOKS}
    assert get_env_vars_to_propagate() == {}
    assert HEALTH_CHECK_INTERVAL_S_ENV_VAR == LOOKS
    assert DEFAULT_HEALTH_CHECK_INTERVAL_S > 1  # seldom


@pytest.mark.parametrize("told", [False, True])
def test_settings_of_ray_train_stay_as_the_user_says(monkeypatch, told):
    monkeypatch.setattr(ray_quirks, "_TOLD", {ray._private.worker._global_node} if told else set())
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
from pipelines.jobs.ray_quirks import TRAIN_ALONE, few_actors, in_the_controller, settings_of_train

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


@pytest.mark.slow
def test_ray_tries_long_where_nothing_listens_and_a_knock_does_not(dead_port):
    code = "import ray, sys; ray.init(address=sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, f"127.0.0.1:{dead_port}"], stderr=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()
    began = time.monotonic()
    for scheme in ("", "ray://"):
        with pytest.raises(OSError, match="refused"):
            knock(f"{scheme}127.0.0.1:{dead_port}")
    assert time.monotonic() - began < 1


@pytest.mark.slow
def test_ray_lists_a_node_that_is_gone_and_we_do_not():
    code = """
import ray
from ray.cluster_utils import Cluster
from pipelines.jobs.ray_cluster import connect
from pipelines.jobs.ray_quirks import living_nodes
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
node = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address)
before = connect()
cluster.remove_node(node)
print("nodes", len(ray.nodes()), "living", len(living_nodes()), "alone", before, connect())
"""
    assert "nodes 2 living 1 alone False False" in said_by(code)


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


@pytest.mark.slow
def test_ray_takes_sigterm_as_it_starts_and_we_take_it_back():
    code = """
import ray, signal
from pipelines.jobs.ray_quirks import kept_handlers
before = signal.getsignal(signal.SIGTERM)
with kept_handlers(signal.SIGTERM):
    ray.init(address="local", include_dashboard=False, num_cpus=1)
    print("taken", signal.getsignal(signal.SIGTERM) is not before)
print("back", signal.getsignal(signal.SIGTERM) is before)
"""
    said = said_by(code)
    assert "taken True" in said
    assert "back True" in said


class Reserving:
    """Somebody's own actor, which reserves a CPU."""

    def make(self):
        self.group = placement_group([{"CPU": 1}])
        ray.get(self.group.ready())
        return self.group.id.hex()


class TrainController(Reserving):
    """Has the name of Ray Train's, which reserves for workers."""


def state_of(group: str) -> str:
    return str(placement_group_table()[group]["state"])


@pytest.mark.ray
def test_what_an_actor_reserved_outlives_it_until_it_is_freed(local_ray):
    living, dying, another = (ray.remote(num_cpus=0)(kind).remote() for kind in (TrainController, TrainController, Reserving))
    kept, left, handed_on = ray.get([living.make.remote(), dying.make.remote(), another.make.remote()])
    mine = placement_group([{"CPU": 1}])
    ray.get(mine.ready())
    ray.kill(dying)
    ray.kill(another)
    time.sleep(2)
    assert state_of(left) == "CREATED"
    held = free_orphans()
    assert held >= 1
    assert {group: state_of(group) for group in (left, kept, handed_on, mine.id.hex())} == {
        left: "REMOVED", kept: "CREATED", handed_on: "CREATED", mine.id.hex(): "CREATED",
    }  # fmt: skip
    assert free_orphans() == held  # does no harm twice
    remove_placement_group(mine)
    remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(handed_on)))
    ray.kill(living)
    deadline = time.monotonic() + 20
    while free_orphans() >= held:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@ray.remote(num_cpus=0)
class Driver:
    """Drives a Ray Train job, as a trial of several workers does, whose workers report nothing."""

    def drive(self, storage):
        config = ray.train.RunConfig(storage_path=storage)
        scaling = ScalingConfig(num_workers=2)
        DataParallelTrainer(lambda: time.sleep(600), scaling_config=scaling, run_config=config).fit()


@pytest.mark.ray
@pytest.mark.slow
def test_a_driver_that_is_killed_before_its_workers_report_leaves_nothing_reserved(local_ray, tmp_path):
    def groups() -> set[str]:
        return {name for name, group in placement_group_table().items() if group["state"] == "CREATED"}

    before, driver = groups(), Driver.remote()
    driver.drive.remote(str(tmp_path))
    deadline = time.monotonic() + 60
    while not groups() - before:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ray.kill(driver)
    time.sleep(8)
    assert groups() - before  # Ray Train itself does not free it
    free_orphans()
    assert groups() == before


@pytest.mark.ray
@pytest.mark.slow
def test_ray_data_spins_while_its_output_is_full_and_a_pause_keeps_it_from_it(local_ray, monkeypatch):
    context = ray.data.DataContext.get_current()

    class Counter(Breather):
        rounds = 0

        def on_execution_step(self, executor):
            Counter.rounds += 1

    class Paused(Counter):
        def on_execution_step(self, executor):
            super().on_execution_step(executor)
            Breather.on_execution_step(self, executor)

    def rounds_a_second(callback) -> float:
        monkeypatch.setattr(context, "custom_execution_callback_classes", [callback])
        blocks = ray.data.range(64, override_num_blocks=64).map_batches(lambda batch: {"x": [bytes(1 << 20)] * len(batch["id"])})
        batches = iter(blocks.iter_batches(batch_size=1, prefetch_batches=0))
        next(batches)
        time.sleep(3)  # until nothing more fits
        before = Counter.rounds
        time.sleep(2)
        return (Counter.rounds - before) / 2

    monkeypatch.setattr(context, "override_object_store_memory_limit_fraction", 0.001)
    spinning, paused = rounds_a_second(Counter), rounds_a_second(Paused)
    assert paused <= 1 / PAUSE
    assert spinning > 1.2 * paused  # some hundred times on a quiet machine
    configure_ray_data()
    assert context.custom_execution_callback_classes == [Breather]


def test_ray_tune_takes_no_trial_that_asks_for_nothing():
    with pytest.raises(ValueError, match="empty"):
        PlacementGroupFactory([{"CPU": 0}])
    assert PlacementGroupFactory([NEXT_TO_NOTHING]).required_resources == NEXT_TO_NOTHING


def test_ray_tunes_newer_output_speaks_of_failed_trials_though_asked_to_be_silent(capsys):
    from ray.tune.experimental.output import AirVerbosity, TuneTerminalReporter

    trial = SimpleNamespace(trial_id="a", error_file="error.txt", run_metadata=SimpleNamespace(num_failures=1), last_result={})
    TuneTerminalReporter(AirVerbosity.SILENT, num_samples=1).on_trial_error(0, [trial], trial)
    assert "error.txt" in capsys.readouterr().out


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("patient", [False, True])
def test_ray_tune_does_not_wait_for_what_a_stopped_function_has_to_close(local_ray, tmp_path, patient):
    closed = tmp_path / "closed"

    def function(settings):
        try:
            ray.tune.report({"score": 1})
        finally:
            time.sleep(2)
            closed.touch()

    made = wrap_function(function)
    running = ray.tune.RunConfig(storage_path=str(tmp_path), stop={"training_iteration": 1}, verbose=0)
    ray.tune.Tuner(ends_with_its_function(made, 30) if patient else made, run_config=running).fit()
    time.sleep(3)
    assert closed.exists() is patient


@pytest.mark.ray
def test_rays_statistics_keep_each_data_set_unless_it_is_named_as_the_last(local_ray):
    def known() -> int:
        return len(ray.get(get_or_create_stats_actor().get_datasets.remote()))

    def run(name: str | None) -> None:
        rows = ray.data.range(4, override_num_blocks=1).map_batches(lambda batch: batch)
        for _ in (rows if name is None else same_in_statistics(rows, name)).iter_batches():
            pass

    counts = [known()]
    for name in (None, None, "epoch", "epoch", "epoch"):
        run(name)
        counts.append(known())
    assert [after - before for before, after in itertools.pairwise(counts)] == [1, 1, 1, 0, 0]


OUTLIVES = """
import sys, ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as on
from pipelines.jobs.ray_quirks import keep_here

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
node = cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
ray.init(address=cluster.address, log_to_driver=False)
if sys.argv[1] == "kept":
    keep_here()

@ray.remote(num_cpus=0)
def rows():
    import ray.data
    return ray.data.range(3).take_all()

ray.get(rows.options(scheduling_strategy=on(node.node_id, soft=False)).remote())

names = {row["name"]: row["namespace"] for row in ray.util.list_named_actors(all_namespaces=True)}
states = ray._private.state.actors()
places = {one["Name"]: one["Address"]["NodeID"] for one in states.values() if one["State"] == "ALIVE" and one["Name"] in names}
print("names", sorted(names), "elsewhere", sorted(name for name, place in places.items() if place == node.node_id))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("start", "elsewhere"), [("left", True), ("kept", False)])
def test_what_outlives_the_jobs_is_on_the_drivers_node(start, elsewhere):
    said = next(line for line in said_by(OUTLIVES, start).splitlines() if line.startswith("names "))
    names, places = said.split(" elsewhere ")
    assert "datasets_stats_actor" in names
    assert ("datasets_stats_actor" in places) if elsewhere else (places == "[]")
