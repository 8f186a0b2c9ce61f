"""CPU time of the crops of one JPEG: the present codecs against PIL's, which made the crops of runs of before.

Both sides fill the same batch array, in one thread. Run from the repository's root: `python -m benchmarks.images.crop_path`.
"""

from __future__ import annotations

import argparse
import io
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.images.former_crops import former_crops
from benchmarks.images.photos import write_photos
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish
from pipelines.ingest.stored_form import StoredForm
from pipelines.views.crops import ATTEMPTS, CropSpec, random_crops

SCALE = (0.08, 1.0)
BEFORE, NOW, DECODING = "PIL (pixels of version 2)", "present", "present codec alone"
Side = Callable[[list[bytes], np.ndarray, np.ndarray], None]


def sides(size: int, views: int) -> dict[str, Side]:
    """What fills a batch (rows, views, S, S, 3) from encoded images and draws (rows, views, ATTEMPTS, 4)."""
    import simplejpeg

    spec = [CropSpec(size, SCALE)] * views

    def before(images: list[bytes], draws: np.ndarray, batch: np.ndarray) -> None:
        for row, image in enumerate(images):
            for view, crop in zip(batch[row], former_crops(image, [size] * views, SCALE, draws[row]), strict=True):
                view[...] = crop

    def now(images: list[bytes], draws: np.ndarray, batch: np.ndarray) -> None:
        for row, image in enumerate(images):
            random_crops(image, spec, draws[row], into=batch[row])

    def decoding(images: list[bytes], draws: np.ndarray, batch: np.ndarray) -> None:
        for image in images:
            simplejpeg.decode_jpeg(image)

    return {BEFORE: before, NOW: now, DECODING: decoding}


def read(folder: Path, short_side: int) -> list[bytes]:
    """The JPEGs of a folder; with a shorter side of so many px, if it is not 0."""
    images = [file.read_bytes() for file in sorted(folder.rglob("*.jpg"))]
    return [StoredForm(short_side=short_side or None).of(image)[0] for image in images]


def compare(options: argparse.Namespace, work: Path) -> Comparison:
    """The sides in turn, over the same images and draws."""
    images = read(write_photos(work, options.images), options.short_side)
    draws = np.random.default_rng(0).random((len(images), options.views, ATTEMPTS, 4), dtype=np.float32)
    batch = np.empty((len(images), options.views, options.size, options.size, 3), np.uint8)
    batch[...] = 1  # its pages are there before the first side begins
    measured: dict[str, list[float]] = {side: [] for side in (BEFORE, NOW, DECODING)}
    for repeat, (side, fill) in itertools.product(range(-1, options.repeats), sides(options.size, options.views).items()):
        began = time.process_time()
        fill(images, draws, batch)
        if repeat >= 0:  # the first is for caches and imports
            measured[side].append(1e3 * (time.process_time() - began) / len(images))
    rows = [{"side": side, "CPU ms/image": median(one), "images/s and core": 1e3 / median(one)} for side, one in measured.items()]
    ratios = [now / before for now, before in zip(measured[NOW], measured[BEFORE], strict=True)]
    width, height = Image.open(io.BytesIO(images[0])).size
    title = f"{len(images):,} JPEGs of {width} x {height} to {options.views} x {options.size} px, one thread"
    which = "short_side_" if options.short_side else ""
    figures = [
        Figure(f"{which}crop_path", median(ratios), "x"),
        Figure(f"{which}crops_a_second", 1e3 / median(measured[NOW]), "images/s"),
    ]
    return Comparison(title, rows, ratios, figures)


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--short-side", type=int, default=0, metavar="PX", help="of the JPEGs; default: 375")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    with tempfile.TemporaryDirectory() as work:
        publish(compare(options, Path(work)), options.json)


if __name__ == "__main__":
    main()
