"""Files through NVIDIA DALI's operators on the CPU: of a crop it decodes the part that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images.photos import labelled_photos, write_photos
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
    def _images() -> tuple[Any, ...]:
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

    return _epochs(_images(), job)


def start_with_our_crops(job: Job) -> Epoch:
    """The encoded bytes cropped by our function, in its Python processes."""
    from nvidia.dali import fn, pipeline_def

    source = _Cropped(labelled_photos(job.work / f"jpegs-{job.images}"), OurCrops(job.size, job.views), job.batch_size)

    @pipeline_def(batch_size=job.batch_size, num_threads=1, device_id=None, py_num_workers=job.processes, py_start_method="spawn")
    def _images() -> tuple[Any, ...]:
        return tuple(fn.external_source(source=source, num_outputs=2, parallel=True, batch=False))

    return _epochs(_images(), job)


class _Cropped:
    """Crops and label of a sample, as DALI asks its Python processes for one."""

    def __init__(self, files: list[tuple[Path, int]], crops: OurCrops, batch_size: int) -> None:
        self.files, self.crops, self.batches = files, crops, len(files) // batch_size
        self._order = -1, np.empty(0, int)  # of an epoch

    def __call__(self, sample: Any) -> tuple[np.ndarray, np.ndarray]:
        if sample.iteration >= self.batches:
            raise StopIteration
        if self._order[0] != sample.epoch_idx:
            self._order = sample.epoch_idx, np.random.default_rng(sample.epoch_idx).permutation(len(self.files))
        file, label = self.files[self._order[1][sample.idx_in_epoch]]
        return self.crops(file.read_bytes()), np.array([label], np.int64)


def _epochs(pipeline: Any, job: Job) -> Epoch:
    pipeline.build()
    batches = job.images // job.batch_size

    def epoch(number: int) -> Iterator[int]:
        for _ in range(batches):
            yield len(pipeline.run()[-1])
        if number < job.epochs:
            pipeline.reset()

    return epoch
