"""Files in class folders through torch's DataLoader, as torchvision's documentation has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from benchmarks.images.photos import write_photos
from benchmarks.input_side.job import Epoch, Job
from benchmarks.input_side.transforms import OurCrops, PilViews


def prepare(job: Job) -> None:
    """Write the files."""
    write_photos(job.work / f"jpegs-{job.images}", job.images)


def start_recipe(job: Job) -> Epoch:
    """The published recipe's views."""
    return _start(job, transform=PilViews(job.size, job.views, augmented=True))


def start_plain(job: Job) -> Epoch:
    """Crop, flip and normalisation."""
    return _start(job, transform=PilViews(job.size, job.views, augmented=False))


def start_with_our_crops(job: Job) -> Epoch:
    """The encoded bytes cropped by our function."""
    return _start(job, transform=OurCrops(job.size, job.views), loader=_read)


def loaded(data: Dataset[Any] | IterableDataset[Any], job: Job, **options: Any) -> Epoch:
    """A DataLoader whose workers stay from epoch to epoch, so that only the first waits for their start."""
    loader = DataLoader(data, num_workers=job.processes, persistent_workers=True, **options)

    def epoch(number: int) -> Iterator[int]:
        for _, labels in loader:
            yield len(labels)

    return epoch


def _start(job: Job, **options: Any) -> Epoch:
    from torchvision.datasets import ImageFolder

    images = ImageFolder(str(job.work / f"jpegs-{job.images}"), **options)
    return loaded(images, job, batch_size=job.batch_size, shuffle=True, drop_last=True)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()
