"""Joining a Ray cluster, or starting a local one, quietly."""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from pipelines.errors import UserError

CONNECT_SECONDS = 20
DASHBOARD, NOWHERE = "RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9"  # port 9 discards what it gets, where anything listens at all


def connect(address: str | None = None, *, local_cpus: int | None = None) -> bool:
    """Join the cluster at `address` (or RAY_ADDRESS); without one start Ray on this machine. Does nothing where Ray runs already.

    Args:
        address: of a head node, `auto`, or a `ray://` client address.
        local_cpus: logical CPUs of a local Ray, at least; a worker that waits for data needs little of its own.

    Returns:
        Whether Ray runs on this machine alone, so that its resources cannot grow.

    Raises:
        UserError: when no cluster answers at the address.
    """
    if ray.is_initialized():
        return len(ray.nodes()) == 1
    _be_quiet()
    address = address or os.environ.get("RAY_ADDRESS") or None
    options = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    if address is None or address == "local":
        with _no_dashboard():
            ray.init(address="local", num_cpus=max(os.cpu_count() or 1, local_cpus or 1), **options)
        return True
    try:
        del options["include_dashboard"]
        _knock(address)
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at {address!r}; start one (ray up cluster.yaml, ray start --head), "
            "or leave the address out to run here"
        ) from error
    return False


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at `host:port`: Ray itself tries for minutes, and cannot be interrupted meanwhile."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


@contextmanager
def _no_dashboard() -> Iterator[None]:
    """Ray's processes that start within the block do not look for a dashboard.

    Ray Train asks it once a second whether the driver lives, and where there is none searches for it: the end of a run that took
    less than the search waited 12 s for that (Ray 2.60).
    """
    given = os.environ.get(DASHBOARD)
    os.environ.setdefault(DASHBOARD, NOWHERE)
    try:
        yield
    finally:
        if given is None:
            del os.environ[DASHBOARD]


def _be_quiet() -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    for name in ("ray", "ray.data", "ray.train", "ray.tune", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def check_resources(workers: int, cpus_per_worker: int, *, gpus: float, grows: bool = False, keys: str = "compute.") -> None:
    """Refuse a job that cannot be placed; where the cluster may grow, say what the job will wait for.

    `keys` stands before the names of the options in messages.

    Raises:
        UserError: for too few GPUs, or no CPU left for the stream's tasks.
    """
    resources, all_gpus = ray.cluster_resources(), workers * gpus
    short = resources.get("GPU", 0) < all_gpus
    if grows:
        if short:
            print(f"waiting for {all_gpus:g} GPUs; the cluster has {resources.get('GPU', 0):.0f} now", file=sys.stderr)
        return
    if short:
        raise UserError(
            f"{keys}gpu asks for {all_gpus:g} GPUs, the cluster has {resources.get('GPU', 0):.0f}; "
            f"lower {keys}workers or set {keys}gpu to false"
        )
    cpus, needed = resources.get("CPU", 0), workers * cpus_per_worker + 1
    if cpus < needed:
        raise UserError(
            f"{workers} workers of {cpus_per_worker} CPUs and a Data task need {needed} CPUs, the cluster has {cpus:.0f}; "
            f"lower {keys}workers or {keys}cpus_per_worker"
        )
