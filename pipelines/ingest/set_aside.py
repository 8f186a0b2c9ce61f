"""Which training images become another split: a share of every class, drawn by a seed; and which are taken at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.errors import UserError
from pipelines.ingest.sources.source import Listing
from pipelines.words import counted, tell

DRAWS = {"test": 1, "take": 2, "val": 3}
OPTION = {"test": "holdout", "val": "val"}


def set_aside(listing: Listing, share: float, seed: int, split: str, *, before: Sequence[int] | None = None) -> Listing:
    """The listing with a share of its training images as another split.

    Of each class the share is taken, rounded so that the whole is right, over all batches that a data set grew by; no class loses
    its last training image. Images without a label stay, for nothing can be scored on them, unless there are no others.

    Args:
        listing: of a source.
        share: of the training images, in (0, 1); 0 sets none aside.
        seed: of the draw.
        split: `val` or `test`.
        before: images of each class that these join, of which the share was taken; one number where there are no labels. Of a
            few that join others none may be taken, which is told.

    Raises:
        UserError: for another share, a source that has such a split, or a share that comes to no image.
    """
    if share == 0:
        return listing
    option = f"--{OPTION[split]}"
    if not 0 < share < 1:
        raise UserError(f"{option} is {share}; it must lie in (0, 1)")
    if any(sample.split == split for sample in listing.samples):
        also = " (a val/ without a test/ is one)" if split == "test" else ""
        raise UserError(f"the source has a {split} split of its own{also}; leave out {option}")
    train = np.array([place for place, sample in enumerate(listing.samples) if sample.split == "train"], dtype=np.int64)
    labels = np.array([-1 if (label := listing.samples[place].label) is None else label for place in train], dtype=np.int64)
    if (labels >= 0).any():
        train, labels = train[labels >= 0], labels[labels >= 0]
    elif split == "val":
        raise UserError("the source has no labels, so nothing can be chosen on a val split; leave out --val")
    classes, kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)
    generator = np.random.default_rng((seed, DRAWS[split]))
    order = generator.permutation(len(train))
    known = dict(enumerate(before or ()))
    least = np.array([not known.get(max(label, 0), 0) for label in classes.tolist()], dtype=np.int64)
    wanted = of_each(counts, share, generator.permutation(len(counts)), least, sum(known.values()))
    if not wanted.sum():
        none = f"{option} {share} of {counted(len(train), 'training image')} is none"
        if before is not None:
            tell(f"{none}: what is new is for training")
            return listing
        raise UserError(f"{none}; raise it")
    order = order[np.argsort(kinds[order], kind="stable")]  # class by class, each in the drawn order
    place_in_class = np.arange(len(train)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn = set(train[order[place_in_class < np.repeat(wanted, counts)]].tolist())
    samples = [sample._replace(split=split) if place in drawn else sample for place, sample in enumerate(listing.samples)]
    return replace(listing, samples=samples)


def of_each(counts: np.ndarray, share: float, turns: np.ndarray, least: np.ndarray | int = 1, before: int = 0) -> np.ndarray:
    """How many of each class: counts (K,) times the share, rounded by largest remainders to the share of all.

    A class keeps `least` images, (K,) or one number, so the whole may come to less. Among equal remainders the classes come in
    the order of `turns` (K,), which is drawn: else the first ones of the alphabet would have the most. The share of all is
    counted on from that of so many images `before`: ten batches of one give as many as one batch of ten.
    """
    exact = counts * share
    wanted = np.floor(exact).astype(np.int64)
    has_room = counts - least - wanted > 0
    left = max(round(before * share + float(exact.sum())) - round(before * share) - int(wanted.sum()), 0)
    by_remainder = turns[np.argsort((wanted - exact)[turns].round(9), kind="stable")]
    wanted[by_remainder[has_room[by_remainder]][:left]] += 1
    fitting: np.ndarray = np.minimum(wanted, np.maximum(counts - least, 0))
    return fitting


def take_some(listing: Listing, take: int | None, seed: int) -> Listing:
    """The listing with so many of its training images, drawn by the seed; with all where none or more are asked for."""
    train = [place for place, sample in enumerate(listing.samples) if sample.split == "train"]
    if take is None or take >= len(train):
        return listing
    kept = set(np.random.default_rng((seed, DRAWS["take"])).permutation(train)[:take].tolist())
    samples = [sample for place, sample in enumerate(listing.samples) if sample.split != "train" or place in kept]
    return replace(listing, samples=samples)
