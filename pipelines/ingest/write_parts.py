"""The shards of a data set, written by tasks on Ray: a few for each CPU under way, on nodes that can read the source."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import ray

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.exchange import Exchange
from pipelines.ingest.left_out import QUARANTINE, Unreadable, write_list
from pipelines.ingest.shard_writer import PartWriter, ShardPlan, Written
from pipelines.ingest.sources.source import LeftOut, Piece
from pipelines.jobs.ray_cluster import only_on, this_node
from pipelines.progress import in_bytes, progress
from pipelines.words import tell

FEW = 10  # unreadable files that no share of all stops at

Call = tuple[bool, Callable[[], ray.ObjectRef]]  # whether what is submitted writes parts, and what submits it


def write_parts(
    writer: PartWriter, parts: Sequence[ShardPlan], pieces: Sequence[Piece], left_out: Sequence[LeftOut], max_bad: float
) -> list[Written]:
    """Write all parts.

    Args:
        writer: of a part.
        parts: to write.
        pieces: of a packed source; none of another one.
        left_out: of the source, for the list that is kept when the job stops.
        max_bad: share of unreadable images at which it stops.

    Raises:
        UserError: for too many unreadable images; the list of them is written before.
    """
    for split in {part.split for part in parts}:
        (writer.location / split).make()
    written, bad = list[Written](), list[Unreadable]()
    images = sum(len(part.samples) for part in parts)
    submit = _submitter(writer.source.root, writer.location)
    calls = Exchange(writer, pieces, parts).calls(submit) if pieces else _one_by_one(writer, parts, submit)
    with progress("ingest", total=images, unit="images") as bar, closing(_in_parallel(calls)) as results:
        for result in results:
            written.append(result)
            bad += result.bad
            if len(bad) > max(max_bad * images, FEW):
                write_list(writer.location, bad, left_out, added=False)
                raise UserError(
                    f"{len(bad)} of {images} images are unreadable ({len(bad) / images:.1%} so far), more than --max-bad allows "
                    f"({max_bad:.1%}); the last: {bad[-1].path} ({bad[-1].reason}); {writer.location / QUARANTINE} lists them"
                )
            bar.advance(len(result.labels) + len(result.bad), _so_far(written, images, len(bad)))
    return sorted(written, key=lambda result: (result.split, result.index))


def _one_by_one(writer: PartWriter, parts: Sequence[ShardPlan], submit: Callable[..., Any]) -> Iterator[Call]:
    task = submit(PartWriter.write)
    for part in parts:
        yield True, partial(task.remote, writer, part)


def _submitter(source: Location | None, destination: Location) -> Callable[..., Any]:
    """Makes remote functions of plain ones, that run where both places are: a local one is on this node only."""
    options: dict[str, Any] = {"num_cpus": 1, "max_retries": 3}
    local = [place for place in (source, destination) if place is not None and place.is_local]
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if local and len(nodes) > 1:
        here = this_node()
        options["scheduling_strategy"] = only_on(here)
        if not next(node["Resources"].get("CPU", 0) for node in nodes if node["NodeID"] == here):
            options["num_cpus"] = 0
        tell(f"{local[0]} is a local path: this node alone reads and writes; all nodes do with URIs")
    submitter: Callable[..., Any] = ray.remote(**options)
    return submitter


def _so_far(written: list[Written], images: int, bad: int) -> str:
    """What was stored, what all of it will take, and how much was set aside."""
    stored = sum(result.shard.bytes for result in written if result.shard)
    seen = sum(len(result.labels) + len(result.bad) for result in written)
    note = f"{in_bytes(stored)} of about {in_bytes(stored * images / seen)}" if seen < images else in_bytes(stored)
    return f"{note}, {bad} quarantined" if bad else note


def _in_parallel(calls: Iterator[Call]) -> Generator[Written, None, None]:
    """Results as they come, a few tasks per CPU under way."""
    most = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    running: dict[ray.ObjectRef, bool] = {}
    try:
        for writes, submit in calls:
            if len(running) >= most:
                yield from _written(running)
            running[submit()] = writes
        while running:
            yield from _written(running)
    finally:  # a job that stops leaves no task that still writes into the folder
        for one in running:
            ray.cancel(one, force=True)


def _written(running: dict[ray.ObjectRef, bool]) -> Iterator[Written]:
    """What the next task has written; it runs no more then.

    Raises:
        UserError, OSError: that the task met.
    """
    (done,), _ = ray.wait(list(running), fetch_local=False)
    if not running.pop(done):
        return
    try:
        result = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError | OSError):
            raise error.cause from None
        raise
    yield from result if isinstance(result, list) else [result]
