"""A hue that is turned in few passes against torchvision's and kornia's way through HSV."""

from __future__ import annotations

import pytest
import torch
from kornia.enhance import adjust_hue
from torchvision.transforms.v2 import functional

from pipelines.views.hue import turn_hue
from tests.helpers.inputs.photos import photos


@pytest.mark.parametrize("turn", [-0.5, -0.2, -1e-8, 0.0, 0.1, 1 / 3, 0.5])
def test_all_colours_of_three_bits_a_channel_are_turned_as_torchvision_turns_them(turn):
    steps = torch.arange(8) / 7
    colours = torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 16, 32)
    found = turn_hue(colours, torch.tensor([turn]))
    torch.testing.assert_close(found, functional.adjust_hue(colours, turn), atol=2e-6, rtol=0)


def test_a_third_of_the_circle_makes_green_of_red_and_greys_stay_to_the_bit():
    red_and_grey = torch.tensor([[1.0, 0.3], [0.0, 0.3], [0.0, 0.3]]).reshape(1, 3, 1, 2)
    turned = turn_hue(red_and_grey, torch.tensor([1 / 3]))
    torch.testing.assert_close(turned[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    assert torch.equal(turned[0, :, 0, 1], red_and_grey[0, :, 0, 1])


def test_each_image_is_turned_by_its_own_angle_as_kornia_does_it():
    images, turns = photos(4).float() / 255, torch.tensor([-0.1, 0.05, 0.25, 0.5])
    torch.testing.assert_close(turn_hue(images, turns), adjust_hue(images, turns * (2 * torch.pi)), atol=2e-6, rtol=0)
