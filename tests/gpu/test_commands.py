"""The commands on a GPU, through Ray."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quorum.cli import main
from tests.helpers.inputs.lumps import LUMP_ROWS
from tests.helpers.runs.killed_runs import cut_back, store_of
from tests.helpers.runs.small_runs import RECIPE, words

pytestmark = [pytest.mark.gpu, pytest.mark.ray]


@pytest.fixture(scope="module")
def ray_with_gpu():
    import ray

    from pipelines.jobs.ray_cluster import connect

    ray.shutdown()
    connect("local", local_cpus=8)
    if not ray.cluster_resources().get("GPU"):
        pytest.fail("Ray sees no GPU here")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def trained(ray_with_gpu, some_digits, tmp_path_factory) -> Path:
    storage = tmp_path_factory.mktemp("gpu-runs")
    given = words(
        str(some_digits.location), storage, "run", "--epochs", "2", "--checkpoint.every_steps", "3",
        "--compute.gpu", "--compute.precision", "bf16",
    )  # fmt: skip
    main(["pretrain", "--config", RECIPE, *given])
    return storage / "run"


def test_a_run_trains_and_its_images_are_embedded(trained, tmp_path, capsys):
    main(["embed", str(trained), "--to", str(tmp_path / "embeddings"), "--gpu"])
    assert list((tmp_path / "embeddings").glob("*.parquet"))


def test_a_run_that_was_cut_off_is_resumed(trained):
    copy = cut_back(trained, trained.parent / "cut-off", 7)
    main(["pretrain", "--resume", str(copy)])
    assert store_of(copy).latest().epoch == 2


def test_embeddings_are_clustered_and_their_sizes_exact(ray_with_gpu, lumps, tmp_path):
    run = tmp_path / "clusters"
    given = ["--num-clusters", "9", "--max-size-ratio", "2", "--passes", "3", "--batch-size", "256", "--compute.gpu"]
    main(["cluster", "--data", str(lumps), "--to", str(run), *given])
    (head,) = json.loads((run / "report.json").read_text())["heads"]
    assert head["rows_missing"] == 0
    assert head["largest"] <= np.ceil(2 * LUMP_ROWS / 9)
    main(["assign", str(run), "--data", str(lumps), "--to", str(tmp_path / "assigned"), "--gpu"])
