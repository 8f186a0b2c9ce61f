"""What the pages say, as tests read it: code blocks, spans of code, and command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.places import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")


def blocks(page: Path, language: str = "") -> list[str]:
    """Code blocks of a language; those of none hold commands."""
    return [text for name, text in _FENCE.findall(page.read_text()) if name == language]


def spans(page: Path) -> list[str]:
    """Code inside sentences, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", page.read_text()))]


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of each `quorum ...` of a shell's lines, also of one that another command runs; comments are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word in ("&&", "--"):
                if words[:1] == ["quorum"]:
                    yield words
                words = []
            else:
                words.append(word)


def commands_of(page: Path) -> list[list[str]]:
    """All `quorum ...` of a page, except those that leave words out."""
    lines = [*blocks(page), *(span for span in spans(page) if span.startswith("quorum "))]
    return [words for line in lines for words in command_lines(line) if "..." not in words]


def comments_of(recipe: Path) -> str:
    """The comment lines of a recipe without their marks."""
    return "\n".join(line.lstrip("# ") for line in recipe.read_text().splitlines() if line.startswith("#"))
