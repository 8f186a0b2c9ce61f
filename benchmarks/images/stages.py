"""CPU time of an image on its way to a batch, stage by stage.

The stages up to the crops run in this process alone; the whole stream runs after them, and what it takes beyond them is Ray's own
work: its processes, its scheduling, and the copies into and out of the object store.
Run from the repository's root: `python -m benchmarks.images.stages`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.images.host_side import host_epochs, open_stream, plain_views, units_of, window_reader
from benchmarks.images.photos import photo_options, photo_shards
from benchmarks.report import Comparison, Figure, cpu_seconds, median, parse, publish
from pipelines.datasets.encoded_image import open_image
from pipelines.jobs.ray_cluster import connect
from pipelines.stream.epoch_order import StreamShape
from pipelines.views.decode import decode

WHOLE = "whole stream, uint8 crops"


def spent(work: Callable[[], object], rows: int, repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    """CPU ms a row, the median of the repetitions after the first."""
    measured = []
    for _ in range(repeats + 1):
        began = clock()
        work()
        measured.append(1e3 * (clock() - began) / rows)
    return median(measured[1:])


def compare(options: argparse.Namespace, work: Path) -> Comparison:
    """All stages, then the stream."""
    shape = StreamShape(options.batch_size, options.lanes, options.window)
    stream = open_stream(photo_shards(work, options.images), shape, plain_views(options.size, options.views))
    reader, rows = window_reader(stream, 0), stream.steps * options.batch_size
    units = list(units_of(reader))
    images = [image for unit in units for image in unit["image"].to_pylist()]
    opened = [open_image(image) for image in images]
    squares = np.empty((options.views, options.size, options.size, 3), np.uint8)

    def each(one: Callable[[Image.Image, bytes], object]) -> Callable[[], None]:
        def all_of_them() -> None:
            for picture, image in zip(opened, images, strict=True):
                one(picture, image)

        return all_of_them

    def crops() -> None:
        for unit in units:
            for block in reader.maker(unit):
                squares[0] = block["view0"][0]

    read = spent(lambda: sum(map(len, units_of(reader))), rows, options.repeats)
    opening = spent(each(lambda _, image: open_image(image)), rows, options.repeats)
    decoding = spent(each(decode), rows, options.repeats)
    whole_crops = spent(crops, rows, options.repeats)
    list(host_epochs(stream, 0, 1))  # processes start
    epochs = iter(range(1, 1000, options.epochs))
    whole = spent(
        lambda: sum(host_epochs(stream, next(epochs), options.epochs)), rows * options.epochs, options.repeats, cpu_seconds
    )
    stages = {
        "read, shuffle": read, "open": opening, "decode": decoding,
        "boxes, resize, assemble": whole_crops - opening - decoding, "Ray, copies": whole - read - whole_crops, WHOLE: whole,
    }  # fmt: skip
    table = [{"stage": stage, "CPU ms/image": took, "share": f"{took / whole:.0%}"} for stage, took in stages.items()]
    ours = (read + whole_crops) / whole
    title = f"{options.images:,} JPEGs of 500 x 375 to {options.views} x {options.size} px"
    return Comparison(title, table, [ours], [Figure("stream_own_share", ours, "x")])


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(photo_options(__doc__, epochs="of the stream in a repetition", processes="CPUs that Ray gets"))
    with tempfile.TemporaryDirectory() as work:
        connect("local", local_cpus=options.processes)
        publish(compare(options, options.work or Path(work)), options.json)


if __name__ == "__main__":
    main()
