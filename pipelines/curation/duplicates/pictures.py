"""Near-duplicates to look at: each beside the earlier row it is nearest to, from the least alike to the most."""

from __future__ import annotations

import io
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.clustering.source_images import Images
from pipelines.curation.duplicates.sorting_out import REMOVED
from pipelines.curation.duplicates.tasks import DUPLICATE_OF, ID, SIMILARITY
from pipelines.datasets.image_shards import read_images
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.files.pictures import write_picture
from pipelines.tracking.cluster_pictures import GAP, TILE, mosaic, show_mosaic

SHOWN, IN_A_ROW = 32, 4  # pairs
ABOVE = 14  # px over a row, for the similarities


def draw_pairs(folder: Location, images: Images, path: Path) -> bool:
    """Draw some of the removed rows of a folder into a PNG file; `False` where there is none.

    They are taken at equal steps of rank by similarity: the first ones tell whether the threshold is too low.
    """
    removed = ParquetReader(folder / REMOVED).read([ID, DUPLICATE_OF, SIMILARITY])
    if not len(removed):
        return False
    similarity = removed[SIMILARITY].to_numpy()
    ranked = np.argsort(similarity, kind="stable")
    chosen = ranked[np.unique(np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int))]
    pairs = [[removed[column][int(row)].as_py() for column in (DUPLICATE_OF, ID)] for row in chosen]
    found = read_images(images.dataset, images.split, sorted({one for pair in pairs for one in pair}))
    encoded = [[*(found.get(one, b"") for one in pair), _white()] for pair in pairs]
    rows = [list(chain(*encoded[first : first + IN_A_ROW])) for first in range(0, len(encoded), IN_A_ROW)]
    figure, ax = show_mosaic(mosaic(rows, 3 * IN_A_ROW, above=ABOVE))
    for number, row in enumerate(chosen):
        line, column = divmod(number, IN_A_ROW)
        middle = 3 * column * (TILE + GAP) + TILE + GAP / 2
        ax.text(middle, line * (ABOVE + TILE + GAP) + ABOVE - 3, f"{similarity[row]:.4f}", ha="center", fontsize=7)
    write_picture(figure, path, dpi="figure")
    return True


def _white() -> bytes:
    """An empty place between two pairs."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(file, "PNG")
    return file.getvalue()
