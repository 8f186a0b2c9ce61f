"""MDS shards through mosaicml-streaming, the other one whose order is elastic and can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image

from benchmarks.images.photos import labelled_photos, write_photos
from benchmarks.input_side.job import Epoch, Job
from benchmarks.input_side.torch_loader import loaded
from benchmarks.input_side.transforms import OurCrops, PilViews

KINDS = {True: "jpeg", False: "bytes"}  # how an image is read: decoded by PIL, or as it is


def prepare(job: Job) -> None:
    """Write the shards: one set whose images it decodes, one whose bytes it hands over."""
    from streaming import MDSWriter

    photos = write_photos(job.work / f"jpegs-{job.images}", job.images)
    for kind in KINDS.values():
        folder = job.work / f"mds-{kind}-{job.images}"
        if folder.exists():
            continue
        with MDSWriter(out=str(folder), columns={"image": kind, "label": "int"}) as writer:
            for file, label in labelled_photos(photos):
                image = Image.open(file) if kind == "jpeg" else file.read_bytes()
                writer.write({"image": image, "label": label})


def start_documented(job: Job) -> Epoch:
    """Pictures decoded by PIL; crop, flip and normalisation."""
    return _start(job, PilViews(job.size, job.views, augmented=False), decoded=True)


def start_with_our_crops(job: Job) -> Epoch:
    """The encoded bytes cropped by our function."""
    return _start(job, OurCrops(job.size, job.views), decoded=False)


def _start(job: Job, transform: Callable[[Any], object], *, decoded: bool) -> Epoch:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    class Transformed(StreamingDataset):
        """As its documentation has it: the transform in __getitem__."""

        def __getitem__(self, at: int) -> tuple[object, int]:
            sample = super().__getitem__(at)
            return transform(sample["image"]), sample["label"]

    clean_stale_shared_memory()
    shards = job.work / f"mds-{KINDS[decoded]}-{job.images}"
    data = Transformed(local=str(shards), shuffle=True, batch_size=job.batch_size)
    return loaded(data, job, batch_size=job.batch_size, drop_last=True)
