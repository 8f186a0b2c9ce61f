"""Ray Train: workers are joined to a process group by a controller that does without torch, which is two seconds of a processor.

Ray Train's own configuration of torch imports it wherever it is read, so in the controller too, while the workers wait to be
started. What the workers do is Ray Train's. No issue found.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.util import TrainingFramework

LEAVE_SECONDS = 30.0  # for workers whose work has ended or failed


@dataclass
class ProcessGroup(BackendConfig):
    """One group of all workers of a job.

    Attributes:
        backend: of torch.distributed, as `gloo` or `cpu:gloo,cuda:nccl`.
    """

    backend: str

    @property
    def backend_cls(self) -> type[Backend]:
        """What the controller calls."""
        return _Joining

    @property
    def train_func_context(self) -> Any:
        """What a worker's function is called in: its own device is the current one."""
        from ray.train.torch.config import TorchConfigContextManager

        return TorchConfigContextManager

    @property
    def framework(self) -> TrainingFramework:
        """As Ray calls it."""
        return TrainingFramework.TORCH

    def to_dict(self) -> dict[str, Any]:
        """What Ray notes of it."""
        return {"backend": self.backend}


class _Joining(Backend):
    """The controller's part."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Join the workers."""
        address, port = worker_group.execute_single(0, get_address_and_port)
        count = len(worker_group)
        ray.get([
            worker_group.execute_single_async(rank, _join, backend_config.backend, rank, count, address, port)
            for rank in range(count)
        ])  # fmt: skip

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Let them go, as long as they answer."""
        left = worker_group.execute_async(_leave, len(worker_group) > 1)
        with suppress(GetTimeoutError):
            ray.get(left, timeout=LEAVE_SECONDS)


def _join(backend: str, rank: int, count: int, address: str, port: int) -> None:
    """A worker's part: what torch.distributed and its users read from the environment, and the group."""
    from ray.train.torch import config

    os.environ |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    config._set_torch_distributed_env_vars()
    config._setup_torch_process_group(backend, rank, count, "env://")


def _leave(joined: bool) -> None:
    from ray.train.torch import config

    config._shutdown_torch(destroy_process_group=joined)
