"""GPUs of a node as its driver, torch and Ray see them, and an all-reduce among the workers' devices."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

from pipelines.doctor.findings import Finding, Page, fault, fine, noted

CHECK = "GPUs"
TORCH_SECONDS = 20
REMEDY = "install a build of torch for that card and driver, and see with nvidia-smi that its memory is not taken"
LOOKS = (
    "import json, torch; n = torch.cuda.device_count(); "
    "[float(torch.ones(2, device=f'cuda:{i}').sum()) for i in range(n)]; "  # which a build without the card's kernels cannot
    "print(json.dumps([torch.__version__, torch.version.cuda, [torch.cuda.get_device_name(i) for i in range(n)]]))"
)
QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"]
BUSY_SHARE = 0.5  # of a GPU's memory
ELEMENTS, TIMES = 16 << 20, 5  # float32 of an all-reduce, and how often


def look_at_gpus(given: float) -> list[Finding]:
    """Whether the GPUs that Ray gives out here can be used; runs in a process without one of its own.

    Args:
        given: GPUs of the node, as Ray has them.
    """
    cards = _cards()
    if not given:
        if cards:
            said = f"it has {len(cards)} GPUs ({cards[0][0]}), and Ray gives out none"
            return [noted(CHECK, said, f"start the node with --num-gpus {len(cards)}", Page.GPU)]
        return [fine(CHECK, "none")]
    try:
        done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, timeout=TORCH_SECONDS, check=True)
        version, cuda, names = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
        return [fault(CHECK, f"torch cannot use the GPUs ({lines[-1] if lines else error})", REMEDY, Page.GPU)]
    if len(names) < given:
        why = "is built without CUDA" if cuda is None else f"with CUDA {cuda} sees {len(names)}"
        remedy = (
            "install a CUDA build of torch there" if cuda is None else "look at nvidia-smi, the driver's version and the runtime"
        )
        return [fault(CHECK, f"Ray gives out {given:g} GPUs, torch {version} {why}", remedy, Page.GPU)]
    busy = [f"{name} ({used / total:.0%} of its memory)" for name, total, used in cards if used > BUSY_SHARE * total]
    found = [fine(CHECK, f"{len(names)} of {names[0]}, torch {version}")]
    if busy:
        remedy = "end what runs there, unless it is a job of this cluster"
        found.append(noted(CHECK, f"somebody uses {', '.join(busy)}", remedy, Page.GPU))
    return found


def _cards() -> list[tuple[str, float, float]]:
    """Name, memory and used memory in MiB of each GPU that the driver shows."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=10, check=True)
        rows = [line.rsplit(",", 2) for line in done.stdout.splitlines() if line.strip()]
        return [(name.strip(), float(total), float(used)) for name, total, used in rows]
    except (OSError, subprocess.SubprocessError, ValueError):  # no driver, or one that does not say
        return []


def meeting_place() -> tuple[str, int]:
    """Address and a free port of this node, for the first of a group."""
    import ray

    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), int(probe.getsockname()[1])


def all_reduce(rank: int, count: int, place: tuple[str, int], backend: str, seconds: float) -> float:
    """Sum an array over a group.

    Args:
        rank: of this process.
        count: processes of the group.
        place: address and port at which they meet.
        backend: `nccl` or `gloo`.
        seconds: that are waited for the others.

    Returns:
        Bytes a second that each sum took in, as seen here.

    Raises:
        RuntimeError: for a group that does not come together, or a wrong sum.
    """
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place[0], str(place[1])
    dist.init_process_group(backend, rank=rank, world_size=count, timeout=timedelta(seconds=seconds))
    try:
        device = torch.device("cuda:0" if backend == "nccl" else "cpu")
        values = torch.full((ELEMENTS if backend == "nccl" else ELEMENTS // 16,), 1.0, device=device)
        dist.all_reduce(values)
        if float(values[0]) != count or float(values[-1]) != count:
            raise RuntimeError(f"the sum of {count} ones is {float(values[0])}")
        start = time.perf_counter()
        for _ in range(TIMES):
            dist.all_reduce(values)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return TIMES * values.numel() * 4 / (time.perf_counter() - start)
    finally:
        dist.destroy_process_group()
