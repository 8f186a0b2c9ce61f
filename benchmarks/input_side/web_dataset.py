"""Tars through WebDataset, as its documentation has it: shards in random order, a buffer that shuffles, batched in workers."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.images.photos import labelled_photos, write_photos
from benchmarks.input_side.job import Epoch, Job
from benchmarks.input_side.torch_loader import loaded
from benchmarks.input_side.transforms import OurCrops, PilViews

SHARD_IMAGES = 250  # so that both workers have some
BUFFER = 1000


def prepare(job: Job) -> None:
    """Write the tars."""
    import webdataset

    photos, folder = write_photos(job.work / f"jpegs-{job.images}", job.images), job.work / f"tars-{job.images}"
    if folder.exists():
        return
    folder.mkdir()
    with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=SHARD_IMAGES, verbose=0) as writer:
        for file, label in labelled_photos(photos):
            writer.write({"__key__": file.stem, "jpg": file.read_bytes(), "cls": label})


def start_documented(job: Job) -> Epoch:
    """Pictures decoded by PIL; crop, flip and normalisation."""
    return _start(job, PilViews(job.size, job.views, augmented=False), decoded=True)


def start_with_our_crops(job: Job) -> Epoch:
    """The encoded bytes cropped by our function."""
    return _start(job, OurCrops(job.size, job.views), decoded=False)


def _start(job: Job, transform: Callable[..., object], *, decoded: bool) -> Epoch:
    import webdataset

    tars = [str(file) for file in sorted((job.work / f"tars-{job.images}").iterdir())]
    samples = webdataset.WebDataset(tars, shardshuffle=len(tars), detshuffle=True).shuffle(BUFFER)
    samples = (samples.decode("pil") if decoded else samples).to_tuple("jpg", "cls").map_tuple(transform, int)
    return loaded(samples.batched(job.batch_size, partial=False), job, batch_size=None)
