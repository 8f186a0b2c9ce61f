"""Files through NVIDIA DALI's operators on the CPU: of a crop it decodes the part that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images.photos import write_photos
from benchmarks.input_side.job import Epoch, Job
from benchmarks.input_side.transforms import SCALE, OurCrops
from pipelines.views.view_config import Normalization


def prepare(job: Job) -> None:
    """Write the files."""
    write_photos(job.work / f"jpegs-{job.images}", job.images)


def start_documented(job: Job) -> Epoch:
    """Random crop as it decodes, resize, flip and normalisation to floats."""
    return _start(job, floats=True)


def start_uint8(job: Job) -> Epoch:
    """The same operators, to uint8 crops."""
    return _start(job, floats=False)


def _start(job: Job, *, floats: bool) -> Epoch:
    from nvidia.dali import fn, pipeline_def, types

    pixels = Normalization()
    mean, std = ([255 * value for value in values] for values in (pixels.mean, pixels.std))

    @pipeline_def(batch_size=job.batch_size, num_threads=job.processes, device_id=None)
    def images() -> tuple[Any, ...]:
        folder = str(job.work / f"jpegs-{job.images}")
        encoded, labels = fn.readers.file(file_root=folder, random_shuffle=True, name="files")
        views = []
        for _ in range(job.views):
            crop = fn.decoders.image_random_crop(encoded, device="cpu", random_area=SCALE, random_aspect_ratio=(0.75, 4 / 3))
            view = fn.resize(crop, size=(job.size, job.size), antialias=True)
            if floats:
                view = fn.crop_mirror_normalize(
                    view, dtype=types.FLOAT, output_layout="CHW", mean=mean, std=std, mirror=fn.random.coin_flip()
                )
            views.append(view)
        return (*views, labels)

    return _epochs(images(), job)


def start_with_our_crops(job: Job) -> Epoch:
    """The encoded bytes cropped by our function, in its Python processes."""
    from nvidia.dali import fn, pipeline_def

    files = sorted(Path(job.work / f"jpegs-{job.images}").rglob("*.jpg"))
    source = _Cropped(files, OurCrops(job.size, job.views), job.batch_size)

    @pipeline_def(batch_size=job.batch_size, num_threads=1, device_id=None, py_num_workers=job.processes, py_start_method="spawn")
    def images() -> tuple[Any, ...]:
        return tuple(fn.external_source(source=source, num_outputs=2, parallel=True, batch=False))

    return _epochs(images(), job)


class _Cropped:
    """Crops and label of a sample, as DALI asks its Python processes for one."""

    def __init__(self, files: list[Path], crops: OurCrops, batch_size: int) -> None:
        self.files, self.crops, self.batches = files, crops, len(files) // batch_size

    def __call__(self, sample: Any) -> tuple[np.ndarray, np.ndarray]:
        if sample.iteration >= self.batches:
            raise StopIteration
        order = np.random.default_rng(sample.epoch_idx).permutation(len(self.files))
        file = self.files[order[sample.idx_in_epoch]]
        label = np.array([int(file.parent.name.removeprefix("photo"))], np.int64)
        return self.crops(file.read_bytes()), label


def _epochs(pipeline: Any, job: Job) -> Epoch:
    pipeline.build()
    batches = job.images // job.batch_size

    def epoch(number: int) -> Iterator[int]:
        for _ in range(batches):
            yield len(pipeline.run()[-1])
        if number < job.epochs:
            pipeline.reset()

    return epoch
