"""JPEGs of photographic content without a download, and the shards made of them.

The photographs are the two that scikit-learn bundles; each file is a random crop of one, about the size of an ImageNet image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.report import new_parser
from pipelines.datasets.image_shards import Dataset
from pipelines.files.location import Location
from pipelines.ingest.ingest import ingest
from pipelines.ingest.sources.image_folders import FolderSource

WIDTH, HEIGHT = 500, 375
QUALITY = 90


def write_photos(folder: Path, count: int, seed: int = 0) -> Path:
    """Write `count` JPEGs below one class folder per photograph, unless a run before did; returns `folder`."""
    images = load_sample_images().images
    random = np.random.default_rng(seed)
    for index in range(count):
        label = index % len(images)
        path = folder / f"photo{label}" / f"{index:06d}.jpg"
        height, width, _ = images[label].shape
        top, left = random.integers(height - HEIGHT + 1), random.integers(width - WIDTH + 1)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            crop = images[label][top : top + HEIGHT, left : left + WIDTH]
            Image.fromarray(crop[:, :: random.choice((-1, 1))]).save(path, quality=QUALITY)
    return folder


def labelled_photos(folder: Path) -> list[tuple[Path, int]]:
    """The files that `write_photos` wrote, by name, and the photograph that each is of."""
    files = sorted(folder.rglob("*.jpg"), key=lambda file: file.name)
    return [(file, int(file.parent.name.removeprefix("photo"))) for file in files]


def photo_shards(work: Path, count: int) -> Dataset:
    """The photos as shards, ingested as a user would; Ray must run."""
    source = FolderSource(Location.of(write_photos(work / f"jpegs-{count}", count)))
    return ingest(source, str(work / f"shards-{count}"), name="photos", rows_per_shard=1024, overwrite=True)


def photo_options(description: str, *, epochs: str, processes: str) -> argparse.ArgumentParser:
    """The command line of a benchmark over the photos; `epochs` and `processes` say what these numbers are of."""
    parser = new_parser(description)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--views", type=int, default=1, choices=(1, 2))
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3, help=epochs)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help=processes)
    parser.add_argument("--work", type=Path, help="keep the photos here; otherwise in a temporary folder")
    return parser
