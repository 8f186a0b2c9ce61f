"""Pictures of finished clusters: their sizes, and where images are known those of the largest, smallest and loosest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.clustering.source_images import Images, images_of
from pipelines.curation.labelled_rows import ID, LABEL, LabelledRows
from pipelines.curation.labelled_source import LabelledSource
from pipelines.datasets.image_shards import read_images
from pipelines.tracking.cluster_pictures import cluster_sheet, cluster_size_histogram

SHEET_CLUSTERS, SHEET_IMAGES = 12, 10


def draw(source: LabelledSource, sizes: pa.Table, folder: Path) -> list[Path]:
    """Draw PNG files of all heads into a local folder.

    Args:
        source: labels and rows.
        sizes: head, rows, minimum and similarity of each cluster.
        folder: for the files.
    """
    heads = [sizes.filter(pa.array(sizes["head"].to_numpy() == mine.head)) for mine in source.heads]
    made = [folder / "sizes.png"]
    counts = [mine["rows"].to_numpy() for mine in heads]
    cluster_size_histogram(counts, [_bounds(mine) for mine in heads], made[0])
    images = images_of(source.vectors)
    for rows, mine in zip(source.heads, heads, strict=True) if images else ():
        assert images is not None
        made += _sheets(rows, mine, images, folder)
    return made


def _bounds(sizes: pa.Table) -> tuple[float, float]:
    """Least and greatest size of a cluster; tables of an earlier version know no greatest."""
    most = sizes["maximum"][0].as_py() if "maximum" in sizes.column_names else None
    return float(sizes["minimum"][0].as_py()), np.inf if most is None else float(most)


def _sheets(rows: LabelledRows, sizes: pa.Table, images: Images, folder: Path) -> list[Path]:
    counts, similarity = sizes["rows"].to_numpy(), sizes["similarity"].to_numpy()
    filled = np.flatnonzero(counts)
    by_size = filled[np.argsort(-counts[filled], kind="stable")]
    loosest = filled[np.argsort(similarity[filled], kind="stable")]
    chosen = {
        "largest": by_size[:SHEET_CLUSTERS],
        "smallest": by_size[::-1][:SHEET_CLUSTERS],
        "loosest": loosest[:SHEET_CLUSTERS],
    }
    members = _members(rows, np.unique(np.concatenate(list(chosen.values()))), counts)
    found = read_images(images.dataset, images.split, sorted({one for ids in members.values() for one in ids}))
    made = []
    for name, clusters in chosen.items():
        shown = {int(k): [found[one] for one in members[int(k)] if one in found] for k in clusters}
        made.append(folder / f"{name}-head{rows.head}.png")
        cluster_sheet(shown, counts, made[-1])
    return made


def _members(rows: LabelledRows, clusters: np.ndarray, counts: np.ndarray) -> dict[int, list[int]]:
    """Ids of the first rows of some clusters, from as many files as are needed."""
    members: dict[int, list[int]] = {int(cluster): [] for cluster in clusters}
    missing = {cluster: min(SHEET_IMAGES, int(counts[cluster])) for cluster in members}
    for table in rows.pieces(ID, LABEL):
        ids, labels = table[ID].to_numpy(), table[LABEL].to_numpy()
        for cluster in [one for one, left in missing.items() if left]:
            mine = ids[labels == cluster][: missing[cluster]].tolist()
            members[cluster] += mine
            missing[cluster] -= len(mine)
        if not any(missing.values()):
            break
    return members
