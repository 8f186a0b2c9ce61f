"""Whether the features of a data set fit the memory of the process that scores them."""

from __future__ import annotations

from pipelines.errors import UserError
from pipelines.free_memory import free_bytes

BYTES = 4  # of a float32
SPARE = 1.2  # of the features' own bytes: a block of similarities and a batch come besides


def check_memory(rows: int, features: int) -> None:
    """Refuse to gather `rows` x `features` numbers where they do not fit.

    Raises:
        UserError: with both numbers of GB.
    """
    needed, free = rows * features * BYTES * SPARE, free_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"the features of {rows:,} images, {features:,} each, take {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free here; "
            "use a machine with more memory, or a data set of fewer images: quorum ingest --take"
        )
