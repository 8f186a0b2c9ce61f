"""RandAugment and Cutout against torchvision, by hand, and as a part of the stream's augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from pipelines.views.augment import augment, draws_needed
from pipelines.views.randaugment import DRAWS, GREY, OPERATIONS, cutout, randaugment
from pipelines.views.view_config import ViewConfig
from tests.helpers.inputs.photos import SIZE, photos

NAMES = list(OPERATIONS)


def chosen(name: str, strength: float, rows: int = 2, *, applied: bool = True) -> torch.Tensor:
    """Draws that choose one operation with a signed strength in [-1, 1)."""
    which = (NAMES.index(name) + 0.5) / len(NAMES)
    return torch.tensor([which, 0.1 if applied else 0.9, (strength + 1) / 2]).repeat(rows, 1)


def applied(name: str, strength: float, magnitude: float = 10.0) -> torch.Tensor:
    return randaugment(photos(2).float() / 255, magnitude, chosen(name, strength))


THEIRS = {
    "rotate": lambda images, strength: v2.functional.rotate(images, 30 * strength, v2.InterpolationMode.BILINEAR, fill=127.5),
    "brightness": lambda images, strength: v2.functional.adjust_brightness(images, 0.05 + 0.9 * abs(strength)),
    "contrast": lambda images, strength: v2.functional.adjust_contrast(images, 0.05 + 0.9 * abs(strength)),
    "colour": lambda images, strength: v2.functional.adjust_saturation(images, 0.05 + 0.9 * abs(strength)),
    "sharpness": lambda images, strength: v2.functional.adjust_sharpness(images, 0.05 + 0.9 * abs(strength)),
    "solarize": lambda images, strength: v2.functional.solarize(images, 255 * (1 - abs(strength))),
    "posterize": lambda images, strength: v2.functional.posterize(images, 8 - round(4 * abs(strength))),
    "autocontrast": lambda images, _: v2.functional.autocontrast(images),
    "equalize": lambda images, _: v2.functional.equalize(images),
}


@pytest.mark.parametrize("strength", [-0.6, 0.25])
@pytest.mark.parametrize("name", THEIRS)
def test_an_operation_is_torchvisions(name, strength):
    theirs = THEIRS[name](photos(2).float() if name == "rotate" else photos(2), strength).float() / 255
    inside = slice(10, -10) if name == "rotate" else slice(None)  # at the border torchvision mixes the fill in otherwise
    mine = applied(name, strength)
    torch.testing.assert_close(mine[..., inside, inside], theirs[..., inside, inside], atol=0.02, rtol=0)


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 3), ("translate_y", 2)])
def test_a_translation_moves_by_a_share_of_the_side_and_fills_with_grey(name, axis):
    moved, before = applied(name, 0.5), photos(2).float() / 255
    pixels = round(0.5 * 0.3 * SIZE)
    grey = moved.narrow(axis, SIZE - pixels + 1, pixels - 1)
    torch.testing.assert_close(grey, torch.full_like(grey, GREY))
    shift = 0.5 * 0.3 * SIZE  # 7.2 px: between two neighbours
    expected = 0.8 * before.narrow(axis, 7, SIZE - 16) + 0.2 * before.narrow(axis, 8, SIZE - 16)
    assert shift == pytest.approx(7.2)
    torch.testing.assert_close(moved.narrow(axis, 0, SIZE - 16), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "axis"), [("shear_x", 2), ("shear_y", 3)])
def test_a_shear_leaves_the_middle_and_moves_the_borders_apart(name, axis):
    ramp = torch.linspace(0, 1, SIZE).expand(1, 3, SIZE, SIZE)
    ramp = ramp if axis == 2 else ramp.transpose(2, 3)
    sheared = randaugment(ramp.clone(), 10, chosen(name, 0.5, 1))
    across = sheared.select(5 - axis, SIZE // 2).squeeze(0)[0]  # along the sheared axis, where nothing comes in from outside
    expected = 0.5 + 0.5 * 0.15 * torch.linspace(-1, 1, SIZE)
    torch.testing.assert_close(across, expected, atol=0.03, rtol=0)


def test_magnitude_scales_every_strength():
    torch.testing.assert_close(applied("brightness", 0.5, magnitude=10), applied("brightness", 1.0 - 1e-6, magnitude=5))


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_draws_leave_the_image_as_it_is(name):
    images = photos(2).float() / 255
    assert torch.equal(randaugment(images.clone(), 10, chosen(name, 0.7, applied=False)), images)
    if name != "identity":
        assert not torch.equal(applied(name, 0.7), images)


@pytest.mark.parametrize("image", [torch.zeros, torch.ones])
@pytest.mark.parametrize("name", NAMES)
def test_flat_images_stay_finite_and_in_range(name, image):
    result = randaugment(image(2, 3, 8, 8), 10, chosen(name, -0.9))
    assert torch.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 1


def test_cutout_greys_a_square_of_its_share_around_the_drawn_place():
    hidden = cutout(torch.zeros(2, 3, 16, 16), 0.5, torch.tensor([[0.5, 0.5], [0.0, 1.0 - 1e-6]])) == GREY
    assert hidden[0, 0, 4:12, 4:12].all()
    assert int(hidden[0, 0].sum()) == 64
    assert int(hidden[1, 0].sum()) == 16  # a corner: x is 0, y is the far end
    assert hidden[1, 0, 15, 0]


def test_an_images_result_does_not_depend_on_the_others():
    rule = ViewConfig(SIZE, flip=0.5, randaugment=2, cutout=0.3)
    uniform = torch.from_numpy(np.random.default_rng(3).random((32, draws_needed(rule)), dtype=np.float32))
    assert uniform.shape[1] == 10 + 2 * DRAWS + 2
    together = augment(photos(32), rule, uniform, np.arange(4))
    for row in (0, 7, 31):
        alone = augment(photos(32)[row : row + 1], rule, uniform[row : row + 1], np.arange(4))
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)
    assert sum(not torch.equal(image, plain / 255) for image, plain in zip(together, photos(32), strict=True)) > 20
