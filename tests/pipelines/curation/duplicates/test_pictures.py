"""Near-duplicates as pictures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.clustering.source_images import Images
from pipelines.curation.duplicates.pictures import draw_pairs
from pipelines.files.location import Location
from pipelines.tracking.cluster_pictures import GAP, TILE


def removed(folder, pairs):
    ids, earlier = [one for one, _ in pairs], [of for _, of in pairs]
    columns = {"id": ids, "duplicate_of": earlier, "similarity": np.linspace(0.99, 0.9, len(pairs))}
    pq.write_table(pa.table(columns), folder / "removed.parquet")


def test_each_near_duplicate_is_shown_beside_the_row_it_is_nearest_to(some_digits, tmp_path):
    images = Images(some_digits, "train")
    removed(tmp_path, [(place, place + 1) for place in range(0, 100, 2)])
    assert draw_pairs(Location.of(tmp_path), images, tmp_path / "pairs.png")
    width, height = Image.open(tmp_path / "pairs.png").size
    assert width > 12 * (TILE + GAP)
    assert height > 8 * TILE  # 32 of the pairs, four in a row
    removed(tmp_path, [(3, 5)])
    assert draw_pairs(Location.of(tmp_path), images, tmp_path / "one.png")


def test_where_nothing_is_removed_nothing_is_drawn(some_digits, tmp_path):
    removed(tmp_path, [])
    assert not draw_pairs(Location.of(tmp_path), Images(some_digits, "train"), tmp_path / "pairs.png")
    assert not (tmp_path / "pairs.png").exists()
