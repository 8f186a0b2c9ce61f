"""Workers of a Ray Train job are one process group, and its controller has no torch."""

from __future__ import annotations

import json
import os
import sys

import pytest
import ray.train
from ray.train import RunConfig, ScalingConfig, UserCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from pipelines.jobs.ray_quirks.process_group import ProcessGroup
from tests.helpers.machines.fresh_imports import loaded_by


@pytest.mark.job
def test_the_controllers_part_is_read_without_torch_and_rays_own_is_not():
    assert "torch" not in loaded_by("pipelines.jobs.ray_quirks.process_group")
    assert "torch" in loaded_by("ray.train.torch.config")


@pytest.mark.ray
@pytest.mark.job
def test_workers_are_joined_by_a_controller_that_has_no_torch(local_ray, tmp_path):
    class Noting(UserCallback):
        def after_report(self, run_context, metrics, checkpoint):
            (tmp_path / "controller.json").write_text(json.dumps(["torch" in sys.modules, metrics]))

    def work(settings):
        import torch
        import torch.distributed

        ranks = torch.tensor([2.0 ** torch.distributed.get_rank()])
        torch.distributed.all_reduce(ranks)
        told = {name: os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
        ray.train.report({"ranks": ranks.item(), "backend": torch.distributed.get_backend(), "told": told})

    DataParallelTrainer(
        work,
        train_loop_config={},
        backend_config=ProcessGroup("gloo"),
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(storage_path=str(tmp_path), callbacks=[Noting()]),
    ).fit()
    has_torch, metrics = json.loads((tmp_path / "controller.json").read_text())
    assert not has_torch
    assert metrics[0]["ranks"] == 3
    assert metrics[0]["backend"] == "gloo"
    assert [each["told"] for each in metrics] == [
        {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"} for rank in range(2)
    ]
