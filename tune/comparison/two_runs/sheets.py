"""Sheets of images of clusters that were matched: what is in the one alone, in both, and in the other alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.clustering.source_images import Images
from pipelines.datasets.image_shards import read_images
from pipelines.files.pictures import plain_text, write_picture
from pipelines.tracking.cluster_pictures import GAP, TILE, mosaic, show_mosaic
from tune.comparison.two_runs.matched_heads import MatchedHead

MOST_PAIRS, MOST_IMAGES = 10, 5  # on a sheet, and of each of the three parts of a pair
MOST_LETTERS = 28  # of a run's name
Members = list[list[bytes | None]]  # encoded images of the three parts of a pair


def members_of_pairs(head: MatchedHead, images: Images) -> list[Members]:
    """Some images of the pairs that share the most; `None` for one that is not there any more.

    Raises:
        UserError: for shards that are damaged.
        OSError: for storage that does not answer.
    """
    pairs = range(min(len(head.overlap.pairs), MOST_PAIRS))
    parts = [[ids[:MOST_IMAGES].tolist() for ids in head.members(pair)] for pair in pairs]
    found = read_images(images.dataset, images.split, sorted({row for part in parts for ids in part for row in ids}))
    return [[[found.get(row) for row in ids] for ids in part] for part in parts]


def matched_sheet(head: MatchedHead, members: Sequence[Members], names: Sequence[str], path: Path) -> None:
    """A row of images for each pair.

    Args:
        head: that was matched.
        members: of its first pairs.
        names: of the runs.
        path: PNG to write.
    """
    above = TILE // 4
    figure, ax = show_mosaic(mosaic([_line(parts) for parts in members], 3 * (MOST_IMAGES + 1) - 1, above=above))
    figure.set_figwidth(figure.get_figwidth() + 0.6)  # for captions of large clusters
    one, other = (plain_text(name, MOST_LETTERS) for name in names)
    for part, title in enumerate((f"in {one} alone", "in both", f"in {other} alone")):
        middle = (part * (MOST_IMAGES + 1) + MOST_IMAGES / 2) * (TILE + GAP)
        ax.text(middle, 0, title, ha="center", va="center", fontsize=9, weight="bold")
    places = [pair * (above + TILE + GAP) + above + TILE / 2 for pair in range(len(members))]
    ax.set_yticks(places, [_caption(head, pair) for pair in range(len(members))], fontsize=7)
    ax.tick_params(length=0)
    write_picture(figure, path, dpi="figure")


def _line(parts: Sequence[Sequence[bytes | None]]) -> list[bytes | None]:
    """The parts with a place between them; a part of fewer images leaves places free."""
    line: list[bytes | None] = []
    for part in parts:
        line += [*part, *[None] * (MOST_IMAGES - len(part) + 1)]
    return line[:-1]


def _caption(head: MatchedHead, pair: int) -> str:
    first, second = head.overlap.pairs[pair].tolist()
    shared, sizes = int(head.overlap.shared[pair]), (head.overlap.first_sizes[first], head.overlap.second_sizes[second])
    return f"#{first} and #{second}\n{shared} shared\nof {sizes[0]} and {sizes[1]}"
