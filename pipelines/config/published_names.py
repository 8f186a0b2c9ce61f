"""What weights that others publish are called, where a recipe or a command may also name a run or a file."""

from __future__ import annotations

TIMM = "timm/"  # as in names of backbones


def is_published(place: str) -> bool:
    """Whether it is a name as `timm/resnet18.a1_in1k`; a folder of that name is `./timm/...`."""
    return place.startswith(TIMM)
