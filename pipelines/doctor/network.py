"""Clocks of the nodes, and how fast objects go from one to the next."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ray

from pipelines.doctor.findings import Finding, Page, fault, fine, noted, untried
from pipelines.doctor.node_probe import Probe, answers
from pipelines.doctor.sizes import rate

MOST_OFF, GOOD_OFF = 5.0, 1.0  # seconds between two clocks
PINGS, PING_SECONDS = 4, 2.0
OBJECT = 16 << 20  # bytes
SLOW = 50e6  # bytes a second, below which gradients of some hundred MB take seconds a step


def look_at_clocks(probes: Sequence[Probe], deadline: float) -> list[Finding]:
    """How far each node's clock is from this process's, to half of the shortest way there and back."""
    found: list[tuple[float, float]] = [(float("inf"), 0.0)] * len(probes)
    for _ in range(PINGS):
        asked, started = [probe.actor.now.remote() for probe in probes], time.time()
        waiting, late = (
            {reference: number for number, reference in enumerate(asked)},
            min(deadline, time.monotonic() + PING_SECONDS),
        )
        while waiting and (left := late - time.monotonic()) > 0:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=left)
            ended = time.time()
            for reference, told in zip(ready, answers(ready, late), strict=True):
                number = waiting.pop(reference)
                if isinstance(told, float):
                    found[number] = min(found[number], (ended - started, told - (started + ended) / 2))
    return [_clock(off, way).on(probe.node.name) for probe, (way, off) in zip(probes, found, strict=True)]


def _clock(off: float, way: float) -> Finding:
    if way == float("inf"):
        return untried("clock", "the node did not answer")
    surely = max(abs(off) - way / 2, 0.0)
    said = f"its clock is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} this process's"
    remedy = "set it: a time service such as chrony on all nodes"
    if surely > MOST_OFF:
        return fault("clock", said, remedy, Page.CLOCK)
    if surely > GOOD_OFF:
        return noted("clock", said, remedy, Page.CLOCK)
    return fine("clock", f"within {max(abs(off), way / 2):.2f} s")


def look_at_network(probes: Sequence[Probe], deadline: float) -> list[Finding]:
    """Send an object from each node to the next one, around."""
    if len(probes) < 2:
        return [untried("network", "there is one node")]
    start = time.monotonic()
    made = [probe.actor.make.remote(OBJECT) for probe in probes]
    ray.wait(made, num_returns=len(made), timeout=max(deadline - time.monotonic(), 0.1), fetch_local=False)
    after = [*probes[1:], probes[0]]
    took = answers([probe.actor.fetch.remote([value]) for probe, value in zip(after, made, strict=True)], deadline)
    found = []
    for sender, receiver, seconds in zip(probes, after, took, strict=True):
        way = f"from {sender.node.name}"
        if not isinstance(seconds, float):
            why = f"no object came {way} within {time.monotonic() - start:.0f} s"
            remedy = "open all ports between the nodes (Ray's object manager and workers use many), and look at their addresses"
            found.append(fault("network", why, remedy, Page.NETWORK).on(receiver.node.name))
        elif OBJECT / max(seconds, 1e-6) < SLOW and sender.node.host != receiver.node.host:
            said = f"objects come at {rate(OBJECT, seconds)} {way}"
            found.append(
                noted("network", said, "use nodes of one network, or fewer workers", Page.NETWORK).on(receiver.node.name)
            )
        else:
            found.append(fine("network", f"{rate(OBJECT, seconds)} {way}").on(receiver.node.name))
    return found
