"""Figures of a run as gauges of Ray's metrics, which Prometheus reads from every node while the run is at work.

`deploy/grafana/quorum.json` shows all of them.
"""

from __future__ import annotations

import re

from ray.util.metrics import Gauge

from pipelines.tracking.figures import CLUSTERS, IMAGES_PER_SECOND, LOSS, ROWS_PER_SECOND, WAIT_SHARE

PREFIX = "ray_"  # that Ray puts before a name
GAUGES = {  # of a figure: the gauge's name, and what it is
    IMAGES_PER_SECOND: ("quorum_images_per_second", "Images that a training takes a second, over all workers"),
    ROWS_PER_SECOND: ("quorum_rows_per_second", "Rows that a clustering takes a second, over all workers"),
    WAIT_SHARE: ("quorum_wait_share", "Share of the time that the workers of a training wait for images"),
    LOSS: ("quorum_loss", "Mean loss since the figure before"),
}
SIZES = {  # of a figure of each head: likewise
    "smallest": ("quorum_cluster_size_smallest", "Rows of the smallest cluster, in the last epoch"),
    "largest": ("quorum_cluster_size_largest", "Rows of the largest cluster, in the last epoch"),
    "median": ("quorum_cluster_size_median", "Rows of the median cluster, in the last epoch"),
}
OF_HEAD = re.compile(rf"{CLUSTERS}/head(\d+)/({'|'.join(SIZES)})")


class Gauges:
    """The gauges of a run, each made with its first value; they go with the process.

    Args:
        run: name of the run, a tag of every gauge; sizes have `head` besides.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._made: dict[str, Gauge] = {}

    def show(self, figures: dict[str, float]) -> None:
        """Set the gauges of those figures that have one."""
        for name, value in figures.items():
            if name in GAUGES:
                self._gauge(*GAUGES[name]).set(value, {"run": self._run})
            elif found := OF_HEAD.fullmatch(name):
                head, plain = found.groups()
                self._gauge(*SIZES[plain], "head").set(value, {"run": self._run, "head": head})

    def _gauge(self, name: str, about: str, *more: str) -> Gauge:
        if name not in self._made:
            self._made[name] = Gauge(name, about, tag_keys=("run", *more))
        return self._made[name]
