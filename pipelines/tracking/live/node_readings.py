"""What a node's processors, memory, network, GPUs and object store are doing, under the names of MLflow's system metrics.

MLflow's own monitor would be a thread in each process that trains, writes past the journal, and knows nothing of Ray's store.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import ray
from ray._private.internal_api import node_stats
from ray._private.thirdparty import pynvml

psutil = importlib.import_module("psutil")  # which the import of Ray brings along
MEGABYTE, WATT = 1e6, 1e3  # of bytes, and of what a card counts in


class NodeReadings:
    """Reads the node that it is on; made an actor on the nodes that a run's recorder is not on."""

    def __init__(self) -> None:
        self._began = psutil.net_io_counters()
        psutil.cpu_percent()  # a share is of the time since the last call
        self._cards = _cards()
        self._raylet = next(
            (node["NodeManagerAddress"], node["NodeManagerPort"])
            for node in ray.nodes() if node["NodeID"] == ray.get_runtime_context().get_node_id()
        )  # fmt: skip

    def read(self) -> dict[str, float]:
        """Figures by name; shares are percentages, and those of the CPUs are of the time since the last call.

        Network traffic is counted from the start. What cannot be read is left out: a curve shows where it ends.
        """
        memory, network = psutil.virtual_memory(), psutil.net_io_counters()
        return {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.used / memory.total * 100,
            "network_receive_megabytes": (network.bytes_recv - self._began.bytes_recv) / MEGABYTE,
            "network_transmit_megabytes": (network.bytes_sent - self._began.bytes_sent) / MEGABYTE,
            **self._store(),
            **{
                f"gpu_{number}_{name}": value for number, card in enumerate(self._cards) for name, value in _of_card(card).items()
            },
        }

    def _store(self) -> dict[str, float]:
        """Of the node's object store, as its raylet knows it."""
        try:
            stats = node_stats(*self._raylet, include_memory_info=False).store_stats
        except Exception:  # whatever it is, a figure too few stops nothing
            return {}
        return {
            "object_store_usage_megabytes": stats.object_store_bytes_used / MEGABYTE,
            "object_store_usage_percentage": stats.object_store_bytes_used / max(stats.object_store_bytes_avail, 1) * 100,
            "object_store_spilled_megabytes": stats.spilled_bytes_total / MEGABYTE,
        }


def _cards() -> list[Any]:
    """The node's GPUs, all of them: those of other processes too."""
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:  # no driver, or no card
        return []


def _of_card(card: Any) -> dict[str, float]:
    """What a card tells; not every one tells everything."""
    found: dict[str, float] = {}
    with suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(card)
        found["memory_usage_megabytes"] = memory.used / MEGABYTE
        found["memory_usage_percentage"] = memory.used / memory.total * 100
    with suppress(pynvml.NVMLError):
        found["utilization_percentage"] = float(pynvml.nvmlDeviceGetUtilizationRates(card).gpu)
    with suppress(pynvml.NVMLError):
        power = pynvml.nvmlDeviceGetPowerUsage(card)
        found["power_usage_watts"] = power / WATT
        found["power_usage_percentage"] = power / pynvml.nvmlDeviceGetEnforcedPowerLimit(card) * 100
    return found
