"""Tars through WebDataset, as its documentation has it: shards in random order, a buffer that shuffles, batched in workers."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from benchmarks.images.photos import write_photos
from benchmarks.input_side.job import Epoch, Job
from benchmarks.input_side.torch_loader import loaded
from benchmarks.input_side.transforms import OurCrops, PilViews

SHARD_IMAGES = 250  # so that both workers have some
BUFFER = 1000


def prepare(job: Job) -> None:
    """Write the tars."""
    files = sorted(write_photos(job.work / f"jpegs-{job.images}", job.images).rglob("*.jpg"), key=lambda file: file.name)
    folder = job.work / f"tars-{job.images}"
    if folder.exists():
        return
    folder.mkdir()
    for first in range(0, len(files), SHARD_IMAGES):
        with tarfile.open(folder / f"{first // SHARD_IMAGES:05d}.tar", "w") as tar:
            for file in files[first : first + SHARD_IMAGES]:
                label = file.parent.name.removeprefix("photo").encode()
                _add(tar, f"{file.stem}.jpg", file.read_bytes())
                _add(tar, f"{file.stem}.cls", label)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


def start_documented(job: Job) -> Epoch:
    """Pictures decoded by PIL; crop, flip and normalisation."""
    return _start(job, PilViews(job.size, job.views, augmented=False), decoded=True)


def start_with_our_crops(job: Job) -> Epoch:
    """The encoded bytes cropped by our function."""
    return _start(job, OurCrops(job.size, job.views), decoded=False)


def _start(job: Job, transform: Callable[..., object], *, decoded: bool) -> Epoch:
    import webdataset

    tars = [str(file) for file in sorted(Path(job.work / f"tars-{job.images}").iterdir())]
    samples = webdataset.WebDataset(tars, shardshuffle=len(tars), detshuffle=True).shuffle(BUFFER)
    samples = (samples.decode("pil") if decoded else samples).to_tuple("jpg", "cls").map_tuple(transform, int)
    return loaded(samples.batched(job.batch_size, partial=False), job, batch_size=None)
