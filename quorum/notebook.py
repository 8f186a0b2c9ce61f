"""How results look in a notebook: tables and pictures as HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.files.location import Location

THUMBNAIL = 56  # px of a side


def facts(title: str, values: Mapping[str, Any]) -> str:
    """A heading and a two-column table."""
    rows = "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(_shown(value))}</td></tr>" for key, value in values.items()
    )
    return f"<b>{html.escape(title)}</b><table>{rows}</table>"


def frame_of(*files: Location | str) -> pd.DataFrame:
    """The tables of Parquet files, one below the other, read whole into memory."""
    import pandas as pd

    from pipelines.files.location import Location
    from pipelines.files.parquet_reader import ParquetReader

    places = [Location.of(file) if isinstance(file, str) else file for file in files]
    frame: pd.DataFrame = pd.concat([ParquetReader(place).read().to_pandas() for place in places], ignore_index=True)
    return frame


def picture(path: Path) -> str:
    """A PNG file of a run."""
    return f'<img alt="{html.escape(path.name)}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"/>'


def thumbnails(images: Sequence[bytes], names: Sequence[str]) -> str:
    """Encoded images in a row, each under its name."""
    return "".join(
        f'<figure style="display:inline-block;margin:4px"><img src="data:image/png;base64,{_thumbnail(image)}"/>'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for image, name in zip(images, names, strict=True)
    )


def _thumbnail(image: bytes) -> str:
    from PIL import Image

    from pipelines.views.crops import thumbnail

    shown = thumbnail(image, THUMBNAIL)
    factor = max(THUMBNAIL // max(shown.size), 1)  # tiny images would be specks
    shown = shown.resize((shown.width * factor, shown.height * factor), Image.Resampling.NEAREST)
    file = io.BytesIO()
    shown.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
