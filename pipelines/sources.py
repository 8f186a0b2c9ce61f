"""Which source a place on disk is."""

from __future__ import annotations

from pathlib import Path

from pipelines.digits import DigitsSource
from pipelines.errors import UserError, nearest
from pipelines.folders import FolderSource, ImagesSource
from pipelines.idx import IdxSource, is_idx
from pipelines.samples import Source


def open_source(place: str, kind: str = "auto") -> Source:
    """The source that `place` names.

    Args:
        place: `digits`, or a folder.
        kind: `digits`, `idx`, `folder` (one folder per class, also below train/ and val/), `images` (no labels), or `auto`.

    Raises:
        UserError: where nothing is found, or what is found does not say what it is.
    """
    kinds = ("auto", "digits", "idx", "folder", "images")
    if kind not in kinds:
        raise UserError(f"--kind {kind!r} is unknown{nearest(kind, kinds)}; choose one of {', '.join(kinds)}")
    if place == "digits" and kind in ("auto", "digits"):
        return DigitsSource()
    root = Path(place).expanduser().resolve()  # tasks run in other folders
    if not root.is_dir():
        raise UserError(
            f"source {place!r} is no folder and no built-in data set; give a folder of images, IDX files, or 'digits'"
        )
    if kind == "idx" or (kind == "auto" and is_idx(root)):
        return IdxSource(root)
    if kind == "images":
        return ImagesSource(root)
    if kind == "auto" and not any(child.is_dir() for child in root.iterdir()):
        return ImagesSource(root)
    return FolderSource(root)
