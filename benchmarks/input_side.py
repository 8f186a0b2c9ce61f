"""Images a second that the CPUs of a GPU training must bring: Quorum's host side against the recipe in torchvision.

Quorum's tasks decode and crop to uint8 through Ray; colour, blur and flip run on the device and are no work of the CPUs.
The usual recipe does all of it per image on PIL, in a torch DataLoader. Same JPEGs, same cores.
Run from the repository's root: `python -m benchmarks.input_side`.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from algos.methods.method import Batch
from benchmarks.images.host_side import Rate, host_epochs, open_stream, plain_views, rate
from benchmarks.images.photos import photo_options, photo_shards, write_photos
from benchmarks.report import Comparison, Figure, median, parse, publish
from pipelines.jobs.ray_cluster import connect
from pipelines.stream.epoch_order import StreamShape
from pipelines.stream.epoch_stream import EpochStream
from pipelines.views.view_config import Normalization

OURS, RECIPE = "Quorum, uint8 crops on the host", "torchvision recipe in a DataLoader"


class RecipeViews:
    """The published recipe's chain, once for each view of an image."""

    def __init__(self, size: int, views: int) -> None:
        from torchvision import transforms

        pixels, jitter = Normalization(), transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
        self.views = views
        self.chain = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, (0.08, 1.0)),
                transforms.RandomApply([jitter], p=0.8),
                transforms.RandomGrayscale(0.2),
                transforms.RandomApply([transforms.GaussianBlur(23, (0.1, 2.0))], p=0.5),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(pixels.mean, pixels.std),
            ]
        )

    def __call__(self, image: Image.Image) -> list[Tensor]:
        """Float views (3, S, S)."""
        return [self.chain(image) for _ in range(self.views)]


def recipe_loader(folder: Path, options: argparse.Namespace) -> DataLoader:
    """The recipe's loader; its workers stay between repetitions, so that their start is no part of the figures."""
    from torchvision.datasets import ImageFolder

    images = ImageFolder(str(folder), RecipeViews(options.size, options.views))
    return DataLoader(
        images, options.batch_size, shuffle=True, num_workers=options.processes, drop_last=True, persistent_workers=True
    )


def recipe_batches(loader: DataLoader, count: int) -> Iterator[int]:
    """Rows of each of some batches, from a new pass over the images."""
    for _, labels in islice(loader, count):
        yield len(labels)


def measure(stream: EpochStream[Batch], loader: DataLoader, options: argparse.Namespace) -> dict[str, list[Rate]]:
    """Rates of both sides in turn."""
    rates: dict[str, list[Rate]] = {OURS: [], RECIPE: []}
    for repeat in range(options.repeats):
        first = repeat * options.epochs
        ours = functools.partial(host_epochs, stream, first, options.epochs)
        rates[OURS].append(rate(ours, options.processes))
        rates[RECIPE].append(rate(lambda: recipe_batches(loader, len(loader)), options.processes))
        print(
            "  " + ", ".join(f"{side}: {measured[-1].per_second:,.0f} images/s" for side, measured in rates.items()), flush=True
        )
    return rates


def compare(options: argparse.Namespace, work: Path) -> Comparison:
    """Run both sides in turn; the ratio is of each repetition's own rates."""
    shape = StreamShape(options.batch_size, options.lanes, options.window)
    stream = open_stream(photo_shards(work, options.images), shape, plain_views(options.size, options.views))
    rates = measure(stream, recipe_loader(write_photos(work / f"jpegs-{options.images}", options.images), options), options)
    ratios = [ours.per_second / recipe.per_second for ours, recipe in zip(rates[OURS], rates[RECIPE], strict=True)]
    rows = [
        {
            "side": side,
            "images/s": median([one.per_second for one in measured]),
            "CPU ms/image": median([one.cpu_ms for one in measured]),
            "s to first batch": median([one.first for one in measured]),
        }
        for side, measured in rates.items()
    ]
    crops = f"{options.images:,} JPEGs to {options.views} x {options.size} px"
    title = f"{crops}, batch {options.batch_size}, {options.processes} processes"
    cpu = median([recipe.cpu_ms / ours.cpu_ms for ours, recipe in zip(rates[OURS], rates[RECIPE], strict=True)])
    note = f"CPU time an image: {cpu:.2f} times as much in the recipe"
    return Comparison(title, rows, ratios, [Figure("input_side", median(ratios), "x")], [note])


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    return photo_options(
        __doc__,
        epochs="of Quorum in a repetition; the recipe, being slower, runs one",
        processes="of the DataLoader; Ray gets as many CPUs",
    )


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connect("local", local_cpus=options.processes)
        publish(compare(options, work), options.json)


if __name__ == "__main__":
    main()
