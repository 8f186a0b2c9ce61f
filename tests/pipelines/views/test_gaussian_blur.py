"""The blur of batches, and its way by banded matrices, against the convolutions of torchvision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from pipelines.views.gaussian_blur import banded_blur, gaussian_blur
from tests.helpers.inputs.photos import photos

SIGMAS = (0.1, 0.5, 1.0, 2.0)
WAYS = {"of a CPU": lambda images, sigmas, _: gaussian_blur(images, sigmas), "by bands": banded_blur}


@pytest.mark.parametrize(("size", "taps"), [(8, 3), (32, 3), (48, 5), (224, 23)])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_each_image_has_its_sigma_over_a_tenth_of_the_side_and_borders_are_mirrored(
    way: Callable[[Tensor, Tensor, int], Tensor], size, taps
):
    images = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(size))
    found = way(images, torch.tensor(SIGMAS), taps)
    for image, blurred, sigma in zip(images, found, SIGMAS, strict=True):
        torch.testing.assert_close(blurred, functional.gaussian_blur(image, [taps, taps], [sigma, sigma]), atol=2e-6, rtol=0)


def test_bands_of_the_least_sigma_leave_an_image_as_it_is():
    images = photos(1).float() / 255
    assert torch.equal(banded_blur(images, torch.tensor([1e-30]), 5), images)
