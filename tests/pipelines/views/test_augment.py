"""Device-side augmentation against torchvision, and its independence of who else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from pipelines.views.augment import DRAWS, augment, draws_needed, normalize
from pipelines.views.view_config import ViewConfig
from tests.helpers.inputs.photos import SIZE, photos

FLIP, JITTER, BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY, BLUR, SIGMA, SOLARIZE = range(DRAWS)
NEVER = {"flip": 0.0, "jitter_p": 0.0, "gray_p": 0.0, "blur_p": 0.0, "solarize_p": 0.0}
EVERYTHING = ViewConfig(
    SIZE, flip=0.5, jitter=(0.4, 0.4, 0.2, 0.1), jitter_p=0.8, gray_p=0.2, blur_p=0.5, solarize_p=0.2
)  # fmt: skip
IN_ORDER = np.arange(4)


def draws(count: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, DRAWS), dtype=np.float32))


def view(**options: object) -> ViewConfig:
    return ViewConfig(SIZE, **(NEVER | options))


def apply(rule: ViewConfig, images: torch.Tensor, uniform: torch.Tensor, order: np.ndarray = IN_ORDER) -> torch.Tensor:
    return augment(images, rule, uniform, order)


def test_probability_zero_only_scales_to_one():
    images = photos(4)
    before = images.clone()
    rule = view(jitter=(0.4, 0.4, 0.4, 0.1), blur_sigma=(0.5, 1.0))
    assert torch.equal(apply(rule, images, torch.zeros(4, DRAWS)), before.float() / 255)
    assert torch.equal(images, before)


def test_flip_mirrors_left_and_right():
    images = photos(3)
    assert torch.equal(apply(view(flip=1.0), images, draws(3)), images.flip(-1).float() / 255)


def test_an_operation_touches_the_rows_whose_draw_is_below_its_probability():
    images, uniform = photos(4), draws(4)
    uniform[:, FLIP] = torch.tensor([0.2, 0.3, 0.29, 0.9])
    plain = images.float() / 255
    flipped = apply(view(flip=0.3), images, uniform)
    for row, mirrored in enumerate([True, False, True, False]):
        assert torch.equal(flipped[row], plain[row].flip(-1) if mirrored else plain[row])


COLOURS = {
    "brightness": (BRIGHTNESS, v2.functional.adjust_brightness),
    "contrast": (CONTRAST, v2.functional.adjust_contrast),
    "saturation": (SATURATION, v2.functional.adjust_saturation),
}


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", COLOURS)
def test_colour_changes_agree_with_torchvision(name, draw):
    column, theirs = COLOURS[name]
    images, uniform = photos(2), draws(2)
    uniform[:, column] = draw
    strengths = [0.0] * 4
    strengths[column - BRIGHTNESS] = 0.6
    mine = apply(view(jitter=tuple(strengths), jitter_p=1.0), images, uniform)
    expected = theirs(images.float() / 255, 1 + 0.6 * (2 * draw - 1))
    torch.testing.assert_close(mine, expected, atol=2e-3, rtol=0)
    assert (mine - images.float() / 255).abs().mean() > 0.005


@pytest.mark.parametrize("draw", [0.1, 0.8])
def test_hue_agrees_with_torchvision(draw):
    images, uniform = photos(2), draws(2)
    uniform[:, HUE] = draw
    mine = apply(view(jitter=(0.0, 0.0, 0.0, 0.3), jitter_p=1.0), images, uniform)
    expected = v2.functional.adjust_hue(images.float() / 255, 0.3 * (2 * draw - 1))
    torch.testing.assert_close(mine, expected, atol=2e-3, rtol=0)
    assert (mine - images.float() / 255).abs().mean() > 0.005


@pytest.mark.parametrize("limit", [0.4, 1.0, 2.0])
def test_factors_are_uniform_over_torchvisions_range(limit):
    low, high = v2.ColorJitter(brightness=limit).brightness
    uniform, images = torch.zeros(3, DRAWS), torch.full((3, 3, SIZE, SIZE), 60, dtype=torch.uint8)
    uniform[:, BRIGHTNESS] = torch.tensor([0.0, 0.5, 0.75])
    changed = apply(view(jitter=(limit, 0.0, 0.0, 0.0), jitter_p=1.0), images, uniform)[:, 0, 0, 0]
    expected = 60 / 255 * torch.tensor([low, (low + high) / 2, (low + 3 * high) / 4])
    torch.testing.assert_close(changed, expected)


def test_colour_changes_come_in_the_order_given():
    images, uniform = photos(2), draws(2)
    uniform[:, BRIGHTNESS], uniform[:, CONTRAST] = 0.9, 0.1
    rule = view(jitter=(0.8, 0.8, 0.0, 0.0), jitter_p=1.0)
    plain = images.float() / 255
    bright_first = v2.functional.adjust_contrast(v2.functional.adjust_brightness(plain, 1.64), 0.36)
    contrast_first = v2.functional.adjust_brightness(v2.functional.adjust_contrast(plain, 0.36), 1.64)
    assert (bright_first - contrast_first).abs().max() > 0.1
    torch.testing.assert_close(apply(rule, images, uniform, np.array([0, 1, 2, 3])), bright_first, atol=2e-3, rtol=0)
    torch.testing.assert_close(apply(rule, images, uniform, np.array([3, 1, 0, 2])), contrast_first, atol=2e-3, rtol=0)


def test_gray_blur_and_solarize_agree_with_torchvision():
    images, uniform = photos(2), draws(2)
    uniform[:, SIGMA] = 0.25
    plain = images.float() / 255
    gray = v2.functional.rgb_to_grayscale(plain, num_output_channels=3)
    torch.testing.assert_close(apply(view(gray_p=1.0), images, uniform), gray, atol=2e-3, rtol=0)
    blurred = v2.functional.gaussian_blur(plain, [5, 5], [1.2, 1.2])  # 5 is the odd number at a tenth of 48 px
    torch.testing.assert_close(apply(view(blur_p=1.0, blur_sigma=(1.0, 1.8)), images, uniform), blurred, atol=1e-5, rtol=0)
    solarized = v2.functional.solarize(plain, 0.5)
    torch.testing.assert_close(apply(view(solarize_p=1.0), images, uniform), solarized)


def test_each_row_is_blurred_by_its_own_sigma():
    images, uniform = photos(1).repeat(2, 1, 1, 1), draws(2)
    uniform[:, SIGMA] = torch.tensor([0.0, 1.0])
    weak, strong = apply(view(blur_p=1.0, blur_sigma=(0.1, 2.0)), images, uniform)
    assert weak.diff(dim=-1).abs().mean() > 1.5 * strong.diff(dim=-1).abs().mean()


@pytest.mark.parametrize("seed", range(3))
def test_a_rows_result_does_not_depend_on_the_others(seed):
    images, uniform, order = photos(24), draws(24, seed), np.random.default_rng(seed).permutation(4)
    whole = apply(EVERYTHING, images, uniform, order)
    for part in (slice(0, 1), slice(3, 10), slice(10, 24)):
        assert torch.equal(apply(EVERYTHING, images[part], uniform[part], order), whole[part])


@pytest.mark.parametrize("shade", ["photos", "black", "white", "blue"])
def test_results_are_finite_and_lie_in_zero_to_one(shade):
    images = photos(24)
    if shade != "photos":
        images = torch.zeros_like(images) if shade != "white" else torch.full_like(images, 255)
    if shade == "blue":
        images[:, 2] = 255
    rule = ViewConfig(SIZE, jitter=(0.9, 0.9, 0.9, 0.5), jitter_p=1.0, gray_p=0.3, blur_p=0.5, solarize_p=0.3)
    result = apply(rule, images, draws(24))
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()
    assert result.min() >= -1e-6
    assert result.max() <= 1 + 1e-6


def test_the_smallest_views_of_digits_can_be_blurred():
    images = photos(2)[:, :, :8, :8]
    result = augment(images, ViewConfig(8, **(NEVER | {"blur_p": 1.0})), draws(2), IN_ORDER)
    expected = v2.functional.gaussian_blur(images[:1].float() / 255, [3, 3], [0.1 + 1.9 * float(draws(2)[0, SIGMA])] * 2)
    torch.testing.assert_close(result[:1], expected, atol=1e-5, rtol=0)


def test_normalize_is_torchvisions():
    images = photos(2).float() / 255
    mean, std = [0.1, 0.5, 0.7], [0.2, 0.3, 0.9]
    expected = v2.functional.normalize(images, mean, std)
    torch.testing.assert_close(normalize(images, mean, std), expected)


def test_images_keep_the_layout_of_their_channels():
    rule = ViewConfig(16, flip=0.5, jitter=(0.4, 0.4, 0.2, 0.1), gray_p=0.3, blur_p=0.5, solarize_p=0.3)
    images, uniform = torch.randint(256, (8, 3, 16, 16), dtype=torch.uint8), torch.rand(8, draws_needed(rule))
    order = np.arange(4)
    plain = augment(images.clone(), rule, uniform, order)
    last = augment(images.to(memory_format=torch.channels_last), rule, uniform, order)
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain)
