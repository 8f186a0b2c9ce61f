"""CPU time of a training image from shards of encoded images against shards of decoded ones (`quorum ingest --pixels`).

Both sides read, shuffle and crop the same rows with the stream's own reader, in this process; what follows is the same for both.
Run from the repository's root: `python -m benchmarks.decoded`, or with `--idx FOLDER` for small images, encoded as PNG.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.images.host_side import open_stream, plain_views, units_of, window_reader
from benchmarks.images.photos import write_photos
from benchmarks.report import Comparison, median, new_parser, parse, publish
from pipelines.datasets.encoded_image import open_image
from pipelines.datasets.image_shards import Dataset
from pipelines.files.location import Location
from pipelines.ingest.ingest import ingest
from pipelines.ingest.sources.idx import IdxSource
from pipelines.ingest.sources.image_folders import FolderSource
from pipelines.ingest.stored_form import StoredForm
from pipelines.jobs.ray_cluster import connect
from pipelines.stream.epoch_order import StreamShape

ENCODED, DECODED = "encoded", "decoded"


def write_pngs(idx: Path, folder: Path, count: int) -> Path:
    """Some images of an IDX data set as PNG files in one class folder; returns `folder`."""
    (folder / "all").mkdir(parents=True, exist_ok=True)
    source = IdxSource(Location.of(idx))
    for sample in source.listing().samples[:count]:
        picture = open_image(source.read(sample.key))
        picture.save(folder / "all" / f"{sample.key.replace('/', '-')}.png", compress_level=1)
    return folder


def epoch_seconds(dataset: Dataset, options: argparse.Namespace, epoch: int) -> float:
    """CPU seconds a row of one epoch's windows."""
    stream = open_stream(dataset, StreamShape(256, 8, 256), plain_views(options.size, options.views))
    reader, rows = window_reader(stream, epoch), 0
    began = time.process_time()
    for unit in units_of(reader):
        rows += sum(len(block["id"]) for block in reader.maker(unit))
    return (time.process_time() - began) / rows


def compare(options: argparse.Namespace, work: Path) -> Comparison:
    """Epochs of both sides in turn."""
    if options.idx:
        files, title = write_pngs(options.idx, work / "images", options.images), f"{options.images:,} PNGs of {options.idx.name}"
    else:
        files, title = write_photos(work / "images", options.images), f"{options.images:,} JPEGs of 500 x 375"
    datasets = {
        side: ingest(
            FolderSource(Location.of(files)),
            str(work / side),
            name=side,
            rows_per_shard=1024,
            form=StoredForm(pixels=side == DECODED),
        )
        for side in (ENCODED, DECODED)
    }
    seconds: dict[str, list[float]] = {side: [] for side in datasets}
    for repeat in range(options.repeats):
        for side, dataset in datasets.items():
            seconds[side].append(epoch_seconds(dataset, options, repeat))
    rows = [
        {
            "shards": side,
            "MB": sum(shard.bytes for shard in datasets[side].split("train").shards) / 1e6,
            "CPU us/row": 1e6 * median(measured),
        }
        for side, measured in seconds.items()
    ]
    ratios = [one / other for one, other in zip(seconds[ENCODED], seconds[DECODED], strict=True)]
    return Comparison(f"{title}, to {options.views} x {options.size} px", rows, ratios)


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--idx", type=Path, metavar="FOLDER", help="of IDX files, instead of photographs")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    connect("local")
    with tempfile.TemporaryDirectory() as work:
        publish(compare(options, Path(work)), options.json)


if __name__ == "__main__":
    main()
