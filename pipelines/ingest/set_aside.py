"""Which training images become another split: a share of every class, drawn by a seed; and which are taken at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.errors import UserError
from pipelines.ingest.sources.source import Listing

DRAWS = {"test": 1, "take": 2, "val": 3}  # each draws by itself, so that none moves another's images
OPTION = {"test": "holdout", "val": "val"}


def set_aside(listing: Listing, share: float, seed: int, split: str) -> Listing:
    """The listing with a share of its training images as another split.

    Of each class the share is taken, rounded so that the whole is right; no class loses its last training image. Images without
    a label are one class.

    Args:
        listing: of a source.
        share: of the training images, in (0, 1); 0 sets none aside.
        seed: of the draw.
        split: `val` or `test`.

    Raises:
        UserError: for another share, a source that has such a split, or a share that comes to no image.
    """
    if share == 0:
        return listing
    option = f"--{OPTION[split]}"
    if not 0 < share < 1:
        raise UserError(f"{option} is {share}; it must lie in (0, 1)")
    if any(sample.split == split for sample in listing.samples):
        raise UserError(f"the source has a {split} split of its own; leave out {option}")
    train = np.array([place for place, sample in enumerate(listing.samples) if sample.split == "train"], dtype=np.int64)
    labels = np.array([-1 if (label := listing.samples[place].label) is None else label for place in train], dtype=np.int64)
    _, kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = of_each(counts, share)
    if not wanted.sum():
        raise UserError(f"{option} {share} of {len(train)} training images is none; raise it")
    order = np.random.default_rng((seed, DRAWS[split])).permutation(len(train))
    order = order[np.argsort(kinds[order], kind="stable")]  # class by class, each in the drawn order
    place_in_class = np.arange(len(train)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn = set(train[order[place_in_class < np.repeat(wanted, counts)]].tolist())
    samples = [replace(sample, split=split) if place in drawn else sample for place, sample in enumerate(listing.samples)]
    return Listing(samples, listing.classes)


def of_each(counts: np.ndarray, share: float) -> np.ndarray:
    """How many of each class: counts (K,) times the share, rounded by largest remainders to the share of all.

    A class keeps one image at least, so the whole may come to less.
    """
    exact = counts * share
    wanted = np.floor(exact).astype(np.int64)
    room = counts - 1 - wanted
    left = round(float(exact.sum())) - int(wanted.sum())
    by_remainder = np.argsort(wanted - exact, kind="stable")  # the first ones of equal remainders
    more = [kind for kind in by_remainder if room[kind] > 0][: max(left, 0)]
    wanted[more] += 1
    fitting: np.ndarray = np.minimum(wanted, np.maximum(counts - 1, 0))
    return fitting


def take_some(listing: Listing, take: int | None, seed: int) -> Listing:
    """The listing with so many of its training images, drawn by the seed; with all where none or more are asked for."""
    train = [place for place, sample in enumerate(listing.samples) if sample.split == "train"]
    if take is None or take >= len(train):
        return listing
    kept = set(np.random.default_rng((seed, DRAWS["take"])).permutation(train)[:take].tolist())
    samples = [sample for place, sample in enumerate(listing.samples) if sample.split != "train" or place in kept]
    return Listing(samples, listing.classes)
