"""A hue that is turned in few passes against torchvision's and kornia's, and a GPU's kernel, compiled for a CPU, against both."""

from __future__ import annotations

import ctypes
import subprocess
from itertools import chain, permutations

import numpy as np
import pytest
import torch
from kornia.enhance import adjust_hue
from torchvision.transforms.v2 import functional

from pipelines.views.colour import COLOUR, CONTRAST, GREY, PIXEL, change_colour, coded, turn_hue
from tests.helpers.inputs.photos import photos
from tests.helpers.machines.needs import needs_compiler


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


# For each of n pixels of three channels, what the kernels make of it: three values, or its grey.
PROGRAM = f"""#include <cmath>
{COLOUR}{GREY.replace(PIXEL, "")}
extern "C" void colours(int n, const float* rgb, const float* f, float mean, float order, float* out) {{
  for (int i = 0; i < 3 * n; i++) {{
    const float* p = rgb + i / 3 * 3;
    out[i] = changed_colour<float>(p[0], p[1], p[2], f[0], f[1], mean, f[2], f[3] + 2 * (i % 3), order);
  }}
}}
extern "C" void greys(int n, const float* rgb, const float* f, float mean, float order, float* out) {{
  for (int i = 0; i < n; i++) out[i] = grey_before<float>(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], f[0], f[2], f[3], order);
}}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory) -> ctypes.CDLL:
    source = tmp_path_factory.mktemp("kernel") / "colour.cpp"
    source.write_text(PROGRAM)
    library = source.with_suffix(".so")
    subprocess.run(["c++", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


ORDERS = list(chain.from_iterable(permutations(range(4), length) for length in range(1, 5)))
CHANGES = {"of CoKe": (0.4, -0.3, 0.2, 0.1), "to the ends": (-1.0, 3.0, -1.0, -0.5), "to the other ends": (1.0, -1.0, 3.0, 0.5)}


@needs_compiler
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_the_kernel_of_a_gpu_changes_colours_in_any_order_as_a_cpu_does(kernels, changes):
    steps = torch.arange(8) / 7
    pixels = torch.cartesian_prod(steps, steps, steps)  # greys, primaries and all between
    factors = np.array([1 + changes[0], 1 + changes[1], 1 + changes[2], changes[3]], np.float32)
    for order in ORDERS:
        wanted = change_colour(pixels.T.reshape(1, 3, 16, 32), torch.tensor([changes]), order).reshape(3, -1).T

        def run(name: str, channels: int, mean: float, order: tuple[int, ...]) -> np.ndarray:
            out = np.empty((len(pixels), channels), np.float32)
            numbers = [ctypes.c_float(number) for number in (mean, coded(order))]
            addresses = [ctypes.c_void_p(array.ctypes.data) for array in (pixels.numpy(), factors, out)]
            kernels[name](len(pixels), *addresses[:2], *numbers, addresses[2])
            return out

        before = order[: order.index(CONTRAST)] if CONTRAST in order else ()
        found = run("colours", 3, float(run("greys", 1, 0, before).mean()), order)
        np.testing.assert_allclose(found, wanted, atol=5e-6, rtol=0)
