"""A folder of vectors in lumps of very different sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LUMP_ROWS, LUMP_DIM = 2000, 8


def write_lumps(folder: Path, offset: float = 0.0) -> None:
    """Lumps of very different sizes around `offset`, sorted by lump, in two files of short row groups; ids are strings."""
    random = np.random.default_rng(0)
    share = random.pareto(1.0, 15) + 0.1
    lump = np.sort(random.choice(15, LUMP_ROWS, p=share / share.sum()))
    rows = (random.normal(size=(15, LUMP_DIM))[lump] + 0.8 * random.normal(size=(LUMP_ROWS, LUMP_DIM))).astype(np.float32)
    rows += np.float32(offset)
    folder.mkdir()
    for name, mine in (("a", slice(0, 1100)), ("b", slice(1100, LUMP_ROWS))):
        ids = [f"row-{place}" for place in range(LUMP_ROWS)[mine]]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows[mine].reshape(-1)), LUMP_DIM)
        pq.write_table(pa.table({"path": ids, "embedding": vectors}), folder / f"{name}.parquet", row_group_size=150)


CLUSTERS, PASSES = 20, 3
STEPS = LUMP_ROWS // 96


def options() -> list[str]:
    """Of a clustering of the lumps in two heads, which takes seconds."""
    return [
        "--num_clusters", f"[{CLUSTERS}, 7]", "--id", "path", "--batch_size", "96", "--lanes", "4", "--window", "64",
        "--passes", str(PASSES), "--checkpoint.every_steps", "8", "--checkpoint.keep_last", "50", "--no-exact",
    ]  # fmt: skip
