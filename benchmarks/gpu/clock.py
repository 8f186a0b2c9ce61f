"""Seconds of work on the GPU; where there is none, of the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.report import median


def seconds(call: Callable[[], object], times: int) -> float:
    """Mean time of a call over so many, all queued before the device is waited for."""
    _wait()
    began = time.perf_counter()
    for _ in range(times):
        call()
    _wait()
    return (time.perf_counter() - began) / times


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_seconds(call: Callable[[], object], times: int) -> float:
    """Mean time that a call's kernels and copies run on the device, whatever the host spends on starting them."""
    call()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(times):
            call()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / times


def in_turn(sides: Sequence[Callable[[], object]], times: int, rounds: int) -> list[float]:
    """Median time of each side's call; in each round all sides run `times` calls, one side after another."""
    for side in sides:
        seconds(side, times)
    spent = [[seconds(side, times) for side in sides] for _ in range(rounds)]
    return [median(each) for each in zip(*spent, strict=True)]
