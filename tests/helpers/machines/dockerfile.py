"""A Dockerfile as its instructions, and what its build context holds."""

from __future__ import annotations

import re
from pathlib import Path


def instructions(path: Path) -> list[tuple[str, str]]:
    """Name and arguments of each instruction, continued lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def context_of(root: Path, tracked: list[str]) -> set[str]:
    """Of files below a root those that `docker build` gets to see: the last pattern that fits decides, as Docker has it."""
    patterns = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return {file for file in tracked if not _ignored(Path(file), patterns)}


def _ignored(file: Path, patterns: list[str]) -> bool:
    ignored = False
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        if any(_fits(place, plain) for place in (file, *file.parents)):
            ignored = not pattern.startswith("!")
    return ignored


def _fits(place: Path, pattern: str) -> bool:
    anywhere = pattern.removeprefix("**/")
    return place != Path() and (place.match(anywhere) if anywhere != pattern else len(place.parts) == 1 and place.match(pattern))
