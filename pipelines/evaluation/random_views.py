"""Random views of rows of a split, the same at every call, in Ray Data tasks; free of torch."""

from __future__ import annotations

import numpy as np

from pipelines.datasets.image_shards import Dataset
from pipelines.stream.images.center_crops import CenterReader, EvaluationView
from pipelines.views.crops import ATTEMPTS, CropSpec, random_crops


class RandomViewReader(CenterReader):
    """A `CenterReader` whose column `image` has several random crops of each row, (rows, q, S, S, 3).

    What is drawn follows from the seed and the row's id. Column `draws` (rows, q, `uniforms`) float32 is for the device's part.

    Args:
        dataset: the shards.
        split: of the shards.
        view: how images are shown.
        crops: one for each view, all of one size.
        uniforms: draws of a view for the device.
        seed: of the draws.
        limit: rows to take.
        rank: of this worker.
        workers: that share the rows.
    """

    def __init__(
        self, dataset: Dataset, split: str, view: EvaluationView, crops: list[CropSpec], uniforms: int, seed: int,
        limit: int, rank: int, workers: int,
    ) -> None:  # fmt: skip
        super().__init__(dataset, split, view, limit, rank, workers)
        self.crops, self.uniforms, self.seed = crops, uniforms, seed

    def room(self, rows: int) -> dict[str, np.ndarray]:
        """Columns to fill."""
        size, q = self.crops[0].size, len(self.crops)
        return {
            "image": np.empty((rows, q, size, size, 3), np.uint8), "draws": np.empty((rows, q, self.uniforms), np.float32)
        }  # fmt: skip

    def take(self, image: bytes, number: int, columns: dict[str, np.ndarray], row: int) -> None:
        """Fill a row of the columns by an encoded image."""
        generator = np.random.default_rng((self.seed, number))
        draws = generator.random((len(self.crops), ATTEMPTS, 4), np.float32)
        columns["draws"][row] = generator.random(columns["draws"].shape[1:], np.float32)
        random_crops(image, self.crops, draws, self.view.showing, list(columns["image"][row]))
