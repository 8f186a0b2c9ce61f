"""Time of the colours, the hue and the banded blur of a batch of views against kornia's, on the GPU where there is one.

Run from the repository's root: `python -m benchmarks.images.augmenting`.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import geometric_mean

import torch
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_hue,
    adjust_saturation_with_gray_subtraction,
)
from kornia.filters import gaussian_blur2d
from torch import Tensor

from benchmarks.gpu.clock import seconds
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish
from pipelines.views.colour import change_colour, turn_hue
from pipelines.views.gaussian_blur import banded_blur, taps_of

CALLS = {"cuda": 20, "cpu": 2}


def operations(images: Tensor) -> dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """Of each operation, kornia's and ours."""
    generator, taps = torch.Generator().manual_seed(0), taps_of(images.shape[-1])
    changes = torch.tensor([0.8, 0.8, 0.4, 0.2]) * (torch.rand(len(images), 4, generator=generator) - 0.5)
    turns = changes[:, 3].to(images.device)
    sigmas = 0.1 + 1.9 * torch.rand(len(images), generator=generator)
    return {
        "colour": (lambda: colour_of_kornia(images, changes.to(images.device)), lambda: change_colour(images, changes, range(4))),
        "hue": (lambda: adjust_hue(images, turns * (2 * torch.pi)), lambda: turn_hue(images, turns)),
        "blur": (
            lambda: gaussian_blur2d(images, (taps, taps), sigmas[:, None].expand(-1, 2)),
            lambda: banded_blur(images, sigmas, taps),
        ),
    }


def colour_of_kornia(images: Tensor, changes: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, one after another."""
    brightness, contrast, saturation = (1 + changes[:, :3]).unbind(dim=1)
    images = adjust_contrast_with_mean_subtraction(adjust_brightness_accumulative(images, brightness), contrast)
    return adjust_hue(adjust_saturation_with_gray_subtraction(images, saturation), changes[:, 3] * (2 * torch.pi))


def compare(rows: int, size: int, repeats: int, device: torch.device) -> Comparison:
    """Both sides in turn."""
    images = torch.rand(rows, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    table, ratios = list[dict[str, str | float]](), list[list[float]]()
    for name, (theirs, ours) in operations(images).items():
        torch.testing.assert_close(ours().float(), theirs(), atol=2e-3 if device.type == "cuda" else 1e-5, rtol=0)
        calls = CALLS[device.type]
        both = [(seconds(theirs, calls), seconds(ours, calls)) for _ in range(repeats)]
        ratios.append([kornia / mine for kornia, mine in both])
        kornia, mine = (median(side) for side in zip(*both, strict=True))
        table.append({"operation": name, "kornia ms": 1e3 * kornia, "ours ms": 1e3 * mine, "ratio": median(ratios[-1])})
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    overall = [geometric_mean(each) for each in zip(*ratios, strict=True)]
    figures = [Figure(f"augmenting_{row['operation']}", float(row["ratio"]), "x") for row in table]
    return Comparison(f"{rows} images of {size} px, {where}", table, overall, figures)


def main() -> None:
    """Read the command line, compare, report."""
    parser = new_parser(__doc__, threads=True, rows=128, size=224, repeats=5)
    options = parse(parser)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    publish(compare(options.rows, options.size, options.repeats, device), options.json)


if __name__ == "__main__":
    main()
