"""The steps of a reader, without Ray: what its tasks make, as a worker gets it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipelines.stream.prefetch import Columns, Reader, by_steps


def steps_of(reader: Reader, rows: int, spans: Iterable[int] | None = None) -> list[Columns]:
    """The columns of each step of so many rows, of some spans or of all in their order."""
    numbers = np.array(list(spans) if spans is not None else range(len(reader.spans)))
    read = reader({"id": numbers})
    blocks = read if reader.finish is None else (block for table in read for block in reader.finish(table))
    return [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in by_steps(blocks, rows)]
