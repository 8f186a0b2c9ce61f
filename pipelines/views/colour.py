"""Brightness, contrast, saturation and hue of whole batches: operation by operation on a CPU, in one pass on a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
)
from torch import Tensor

CONTRAST = 1  # its place among brightness, contrast, saturation and hue


def change_colour(images: Tensor, changes: Tensor, order: Sequence[int]) -> Tensor:
    """Images (B, 3, S, S) in [0, 1] with their brightness (0), contrast (1), saturation (2) and hue (3) changed.

    Args:
        images: floating-point, on any device.
        changes: (B, 4) on the host: what is added to the factors of the first three, and the part of the circle in
            [-1/2, 1/2] that hues turn by.
        order: which of the four happen, one after another.

    Returns:
        As the images.
    """
    changes = changes.to(images.device, non_blocking=True)
    factors, turns = (1 + changes[:, :3]).clamp(min=0), changes[:, 3]
    if images.device.type == "cuda":
        return _in_one_pass(images, factors, turns, order)
    adjust: list[Callable[[Tensor], Tensor]] = [
        lambda some: adjust_brightness_accumulative(some, factors[:, 0]),
        lambda some: adjust_contrast_with_mean_subtraction(some, factors[:, 1]),
        lambda some: adjust_saturation_with_gray_subtraction(some, factors[:, 2]),
        lambda some: turn_hue(some, turns),
    ]
    for which in order:
        images = adjust[which](images)
    return images


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [0, 1] with their hues moved around the circle; value and saturation of HSV stay.

    With hue h in sixths of the circle, V = max and m = min of a pixel's channels, channel n, of hue h_n (red 0, green 2, blue 4),
    is m + (V - m) * clamp(2 - d(h, h_n), 0, 1), with d the distance on the circle; so nothing goes through HSV.
    The numbers of `kornia.enhance.adjust_hue` but for rounding, in fewer passes; benchmarks/images/augmenting.py.

    Args:
        images: floating-point, on any device.
        turns: (B,) parts of the circle in [-1/2, 1/2], on the same device.

    Returns:
        As the images.
    """
    highest, lowest = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    chroma = highest - lowest
    red, green, blue = images.split(1, dim=1)
    in_green_or_blue = torch.where(
        highest == green, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4)
    )  # fmt: skip
    hue = torch.where(highest == red, green - blue, in_green_or_blue).div_(chroma.masked_fill(chroma == 0, 1))
    hue.add_(6 * turns[:, None, None, None])
    channels = 2 * torch.arange(3, dtype=images.dtype, device=images.device)[:, None, None]  # made there: no copy to wait for
    distance = (hue + (3 - channels)).remainder_(6).sub_(3).abs_()
    return torch.addcmul(lowest, chroma, (2 - distance).clamp_(0, 1))


def _in_one_pass(images: Tensor, factors: Tensor, turns: Tensor, order: Sequence[int]) -> Tensor:
    """By a kernel that makes all changes of a pixel; the mean that contrast wants takes another, of what comes before it."""
    red, green, blue = images.permute(0, 2, 3, 1).split(1, dim=3)
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(dim=1)
    before = order[: order.index(CONTRAST)] if CONTRAST in order else []
    mean = grey_kernel()(red, green, blue, brightness, saturation, turns[:, None, None, None], order=coded(before))
    mean = mean.mean((1, 2, 3), keepdim=True)
    # Two whole turns change no hue; they tell the kernel, which takes eight tensors at most, the channel that is asked for.
    asked = turns[:, None, None, None] + 2 * torch.arange(3, dtype=turns.dtype, device=turns.device)
    changed = colour_kernel()(red, green, blue, brightness, contrast, mean, saturation, asked, order=coded(order))
    return changed.permute(0, 3, 1, 2)


def coded(order: Sequence[int]) -> float:
    """Some of the four changes as one number: digits of eight, the first to happen last."""
    return float(sum((which + 1) * 8**place for place, which in enumerate(order)))


PIXEL = """
template <typename T> T unit(T x) { return x < T(0) ? T(0) : (x < T(1) ? x : T(1)); }

template <typename T> T grey_of(T red, T green, T blue) { return T(0.299) * red + T(0.587) * green + T(0.114) * blue; }

template <typename T> T of_hue(T hue, T own, T lowest, T chroma) {
  T turned = hue - own + T(3);
  T distance = turned - T(6) * ::floor(turned / T(6)) - T(3);
  return lowest + chroma * unit(T(2) - (distance < T(0) ? -distance : distance));
}

template <typename T> void turn_hue(T& red, T& green, T& blue, T turn) {
  T highest = red < green ? (green < blue ? blue : green) : (red < blue ? blue : red);
  T lowest = red < green ? (red < blue ? red : blue) : (green < blue ? green : blue);
  T chroma = highest - lowest;
  T scaled = highest == red ? green - blue : (highest == green ? blue - red + T(2) * chroma : red - green + T(4) * chroma);
  T hue = scaled / (chroma == T(0) ? T(1) : chroma) + T(6) * turn;
  red = of_hue(hue, T(0), lowest, chroma); green = of_hue(hue, T(2), lowest, chroma); blue = of_hue(hue, T(4), lowest, chroma);
}

template <typename T> void blend(T& red, T& green, T& blue, T factor, T other) {
  T rest = other * (T(1) - factor);
  red = unit(red * factor + rest); green = unit(green * factor + rest); blue = unit(blue * factor + rest);
}

template <typename T>
void change(T& red, T& green, T& blue, T brightness, T contrast, T mean, T saturation, T turn, T order) {
  for (int digits = (int) order; digits != 0; digits /= 8) {
    if (digits % 8 == 1) blend(red, green, blue, brightness, T(0));
    else if (digits % 8 == 2) blend(red, green, blue, contrast, mean);
    else if (digits % 8 == 3) blend(red, green, blue, saturation, grey_of(red, green, blue));
    else turn_hue(red, green, blue, turn);
  }
}
"""
GREY = f"""{PIXEL}
template <typename T> T grey_before(T red, T green, T blue, T brightness, T saturation, T turn, T order) {{
  change(red, green, blue, brightness, T(1), T(0), saturation, turn, order);
  return grey_of(red, green, blue);
}}
"""
COLOUR = f"""{PIXEL}
template <typename T>
T changed_colour(T red, T green, T blue, T brightness, T contrast, T mean, T saturation, T asked, T order) {{
  T channel = ::floor((asked + T(1)) / T(2));
  change(red, green, blue, brightness, contrast, mean, saturation, asked - T(2) * channel, order);
  return channel == T(0) ? red : (channel == T(1) ? green : blue);
}}
"""


@functools.cache
def grey_kernel() -> Callable[..., Tensor]:
    """Of red, green, blue, brightness, saturation and turn, and the changes by `coded`: the grey value after these."""
    kernel: Callable[..., Tensor] = torch.cuda.jiterator._create_jit_fn(GREY, order=0.0)  # public but for its name
    return kernel


@functools.cache
def colour_kernel() -> Callable[..., Tensor]:
    """Of red, green, blue, the factors and the mean, and a turn with the channel that is asked for: its value."""
    kernel: Callable[..., Tensor] = torch.cuda.jiterator._create_jit_fn(COLOUR, order=0.0)
    return kernel
