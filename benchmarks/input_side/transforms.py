"""What the loaders make of an image: the published recipe's views, those of the loaders' documentation, and our crops."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from pipelines.views.crops import ATTEMPTS, CropSpec, random_crops
from pipelines.views.view_config import Normalization

SCALE = (0.08, 1.0)


class PilViews:
    """Float views (3, S, S) of a PIL image: random resized crop, flip and normalisation, once for each view.

    Args:
        size: of the crops in px.
        views: of an image.
        augmented: with the colour and the blur of the published recipe.
    """

    def __init__(self, size: int, views: int, *, augmented: bool) -> None:
        from torchvision import transforms

        pixels, jitter = Normalization(), transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
        colour = [
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(0.2),
            transforms.RandomApply([transforms.GaussianBlur(23, (0.1, 2.0))], p=0.5),
        ]
        self.views = views
        self.chain = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, SCALE),
                *(colour if augmented else []),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(pixels.mean, pixels.std),
            ]
        )

    def __call__(self, image: Image.Image) -> list[Tensor]:
        """The views of one image."""
        return [self.chain(image) for _ in range(self.views)]


class OurCrops:
    """Crops uint8 (views, S, S, 3) of encoded bytes, by the function that Quorum's tasks call; arguments as above."""

    def __init__(self, size: int, views: int) -> None:
        self.crops = [CropSpec(size, SCALE)] * views
        self.random = np.random.default_rng()

    def __call__(self, image: bytes) -> np.ndarray:
        """The crops of one image."""
        made = np.empty((len(self.crops), self.crops[0].size, self.crops[0].size, 3), np.uint8)
        random_crops(image, self.crops, self.random.random((len(self.crops), ATTEMPTS, 4), dtype=np.float32), into=list(made))
        return made
