"""The gauges as Prometheus reads them from a node of a real Ray."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.helpers.places import ROOT

READ = """
import re, socket, sys, time, urllib.request
import ray
from pipelines.tracking.figures import IMAGES_PER_SECOND, LOSS, WAIT_SHARE, head_figure
from pipelines.tracking.mlflow_store import RunAddress
from pipelines.tracking.recorder import start_recorder

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _metrics_export_port=port)
folder = sys.argv[1]
record = start_recorder(f"{folder}/first", f"{folder}/first", RunAddress(f"sqlite:///{folder}/none.db", "1", "1"))
record.metrics({IMAGES_PER_SECOND: 500.0, WAIT_SHARE: 0.25, LOSS: 2.5, "train/lr": 0.1}, 1, wait=True)
sizes = {"cluster_size_min": 3.0, "cluster_size_max": 90.0, "cluster_size_median": 20.5}
record.metrics({head_figure(name, 1): value for name, value in sizes.items()}, 2, wait=True)
place, deadline, found = f"http://{ray.nodes()[0]['NodeManagerAddress']}:{port}/metrics", time.monotonic() + 90, []
while len(found) < 6 and time.monotonic() < deadline:
    time.sleep(1)
    lines = urllib.request.urlopen(place, timeout=10).read().decode().splitlines()
    found = [line for line in lines if line.startswith("ray_quorum_")]
for line in found:
    tags = dict(re.findall(r'(\\w+)="([^"]*)"', line))
    print(line.partition("{")[0], tags.get("head"), tags["run"], line.rpartition(" ")[2])
record.close("FINISHED")
"""


@pytest.mark.ray
@pytest.mark.slow
def test_prometheus_reads_rate_waiting_loss_and_sizes_by_run(tmp_path):
    command, paths = [sys.executable, "-c", READ, str(tmp_path)], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=paths, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert sorted(done.stdout.splitlines()) == [
        "ray_quorum_cluster_size_largest 1 first 90.0", "ray_quorum_cluster_size_median 1 first 20.5",
        "ray_quorum_cluster_size_smallest 1 first 3.0", "ray_quorum_images_per_second None first 500.0",
        "ray_quorum_loss None first 2.5", "ray_quorum_wait_share None first 0.25",
    ], done.stderr[-3000:]  # fmt: skip
