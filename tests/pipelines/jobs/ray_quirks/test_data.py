"""Ray Data: each work-around works, and is still needed - a test that fails says which one can go."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
import ray.data
from ray.actor import _ActorClassMethodMetadata
from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator as coordinators
from ray.data._internal.execution import streaming_executor_state
from ray.data._internal.execution.operators import task_pool_map_operator
from ray.data._internal.execution.resource_manager import ResourceManager
from ray.data._internal.remote_fn import CACHED_FUNCTIONS, cached_remote_fn
from ray.data._internal.stats import get_or_create_stats_actor

from pipelines.jobs.ray_quirks.data import PAUSE, Breather, _made_anew, same_in_statistics
from pipelines.stream.ray_data import configure_ray_data, numbered


class Silent(Breather):
    """Ray Data as it is."""

    def on_execution_step(self, executor):
        time.sleep(PAUSE)


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


def beside(folder: Path, patience: float) -> Callable[[dict], dict]:
    """A task of two that says whether the other one ran at the same time."""

    def meet(batch: dict) -> dict:
        (number,) = batch["id"].tolist()
        (folder / str(number)).touch()
        end = time.monotonic() + patience
        while not (met := (folder / str(1 - number)).exists()) and time.monotonic() < end:
            time.sleep(0.01)
        return {"met": [met]}

    return meet


@pytest.mark.job
@pytest.mark.ray
@pytest.mark.parametrize(("callback", "met"), [(Breather, True), (Silent, False)])
def test_a_pipeline_asks_again_for_what_the_cluster_gives_it_and_ray_alone_waits(local_ray, monkeypatch, tmp_path, callback, met):
    configure_ray_data()
    monkeypatch.setattr(ResourceManager, "GLOBAL_LIMITS_UPDATE_INTERVAL_S", 3600)
    monkeypatch.setattr(ray.data.DataContext.get_current(), "custom_execution_callback_classes", [callback])
    task = beside(tmp_path, 30.0 if met else 3.0)
    rows = numbered(2).map_batches(task, batch_size=None).take_all()
    assert rows[0]["met"] is met


def test_rays_loop_waits_for_tasks_by_its_constant():
    configure_ray_data()
    assert streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S == PAUSE
    assert "timeout=WAIT_FOR_TASK_COMPLETION_TIMEOUT_S" in inspect.getsource(streaming_executor_state)


@pytest.mark.ray
def test_ray_data_keeps_a_function_and_a_class_of_each_pipeline_and_ours_leave_none(local_ray, monkeypatch):
    for module, name in ((task_pool_map_operator, "cached_remote_fn"), (coordinators, "get_or_create_autoscaling_coordinator")):
        monkeypatch.setattr(module, name, getattr(module, name))  # as it was, afterwards

    def run() -> None:
        numbered(2).map_batches(lambda batch: batch).take_all()

    def kept() -> tuple[int, int]:
        return len(CACHED_FUNCTIONS), len(_ActorClassMethodMetadata._cache)

    def kept_of_three() -> list[int]:
        run()
        before = kept()
        for _ in range(3):
            run()
        return [now - then for now, then in zip(kept(), before, strict=True)]

    monkeypatch.setattr(task_pool_map_operator, "cached_remote_fn", cached_remote_fn)
    monkeypatch.setattr(coordinators, "get_or_create_autoscaling_coordinator", _made_anew)
    assert kept_of_three() == [3, 3]
    configure_ray_data()
    assert kept_of_three() == [0, 0]


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
