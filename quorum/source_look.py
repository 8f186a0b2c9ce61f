"""A source of images to look at before it is ingested: `look`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quorum.arguments import checked
from quorum.notebook import facts, thumbnails

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from pipelines.ingest.look import Look

SHOWN = 10  # classes in a notebook


class SourceLook:
    """What an ingest would take of a source: what `look` returns.

    Args:
        look: what was found.
    """

    def __init__(self, look: Look) -> None:
        self.look = look

    @property
    def counts(self) -> pd.DataFrame:
        """Images of each class in each split."""
        import pandas as pd

        return pd.DataFrame(self.look.counts()).fillna(0).astype(int).rename_axis("class")

    @property
    def left_out(self) -> pd.Series:
        """How many files are left out, by reason."""
        import pandas as pd

        return pd.Series(dict(self.look.left_out().most_common()), name="files", dtype=int).rename_axis("reason")

    @property
    def formats(self) -> pd.Series:
        """How many of the images that were opened are of each format and mode."""
        import pandas as pd

        return pd.Series(dict(self.look.probe.formats.most_common()), name="images", dtype=int).rename_axis("format")

    @property
    def sheet(self) -> Image.Image:
        """Thumbnails of some images."""
        return self.look.sheet()

    def __repr__(self) -> str:
        return (
            f"SourceLook({self.look.place}: {len(self.look.listing.samples):,} images, {len(self.look.listing.classes)} classes)"
        )

    def _repr_html_(self) -> str:
        values = {"read as": self.look.kind, **{f"note {place}": note for place, note in enumerate(self.look.listing.notes, 1)}}
        tables = (self.counts.head(SHOWN), self.left_out.to_frame(), self.formats.to_frame())
        shown = thumbnails(list(self.look.probe.thumbnails.values()), list(self.look.probe.thumbnails))
        return facts(repr(self), values) + "".join(table.to_html() for table in tables) + shown


@checked
def look(
    source: str | Path,
    *,
    kind: str = "auto",
    domains: Sequence[str] = (),
    image: str | None = None,
    label: str | None = None,
    depth: int = 1,
    seed: int = 0,
) -> SourceLook:
    """See what `ingest` would take of a source and what it would leave out; nothing is written.

    Args:
        source: as `ingest` takes it.
        kind: likewise, as the others.
        domains: of DomainNet.
        image: column of the images.
        label: column of the labels.
        depth: which folder is the class.
        seed: of the draw of the images that are opened.

    Raises:
        UserError: for a source that is not understood.
    """
    from pipelines.ingest.look import look_at
    from pipelines.ingest.recognise import open_source

    found = open_source(str(source), kind, list(domains), image=image, label=label, depth=depth)
    return SourceLook(look_at(found, str(source), seed))
