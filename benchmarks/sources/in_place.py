"""Time of indexing Parquet with images in place against copying it.

Run from the repository's root: `python -m benchmarks.sources.in_place`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.images.photos import write_photos
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish
from pipelines.in_place.index import index
from pipelines.ingest.ingest import ingest
from pipelines.ingest.recognise import open_source
from pipelines.jobs.ray_cluster import connect

PHOTOS, ROW_GROUP, CLASSES = 500, 100, 10
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_parquet(folder: Path, megabytes: int, photos: Path) -> Path:
    """So many MB of photographs in files of 2,000 rows as Hugging Face has them, their labels drawn at random."""
    images = [path.read_bytes() for path in sorted(write_photos(photos, PHOTOS).rglob("*.jpg"))]
    rows, generator = int(megabytes * 1e6 / np.mean([len(image) for image in images])), np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for file, first in enumerate(range(0, rows, 2000)):
        count = min(2000, rows - first)
        column = pa.array([{"bytes": images[(first + i) % PHOTOS], "path": f"{first + i}.jpg"} for i in range(count)], STRUCT)
        table = pa.table({"image": column, "label": generator.integers(CLASSES, size=count)})
        pq.write_table(table, folder / f"train-{file:05d}.parquet", row_group_size=ROW_GROUP)
    return folder


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def compare(megabytes: int, repeats: int, work: Path) -> Comparison:
    """Both sides in turn; Ray must run."""
    source = open_source(str(write_parquet(work / "source", megabytes, work / "photos")))
    both = []
    for _ in range(repeats):
        copied = timed(lambda: ingest(source, str(work / "copy"), name="copy", overwrite=True))
        both.append((copied, timed(lambda: index(source, str(work / "index"), "index", overwrite=True))))
    ratios = [indexed / copied for copied, indexed in both]
    rows = [{"copy s": copied, "in place s": indexed, "ratio": indexed / copied} for copied, indexed in both]
    return Comparison(f"{megabytes:,} MB of Parquet", rows, ratios, [Figure("in_place_time", median(ratios), "x")])


def main() -> None:
    """Read the command line, compare, report."""
    parser = new_parser(__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parse(parser)
    with tempfile.TemporaryDirectory() as work:
        connect("local", local_cpus=2)
        publish(compare(options.megabytes, options.repeats, Path(work)), options.json)


if __name__ == "__main__":
    main()
