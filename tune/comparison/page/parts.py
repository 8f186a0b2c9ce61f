"""Pieces of a page; what comes from runs is escaped here."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tune.comparison.tables import figure_text

NUMBER = re.compile(r"-?[\d,.]+(e[+-]?\d+)?( \+- .*| to .*)?")


def section(title: str, content: str, level: int = 2) -> str:
    """A heading with what stands below it; nothing where there is nothing."""
    return f"<h{level}>{html.escape(title)}</h{level}>\n{content}\n" if content else ""


def paragraphs(sentences: Sequence[str]) -> str:
    """Each sentence by itself."""
    return "".join(f"<p>{html.escape(sentence)}</p>\n" for sentence in sentences)


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, numbers at the right."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n'


def in_words(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Values as texts; nothing for `None`."""
    return [[_in_words(value) for value in row] for row in rows]


def _in_words(value: Any) -> str:
    return "" if value is None else figure_text(value) if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    kind = ' class="number"' if NUMBER.fullmatch(text) else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def figures(charts: Sequence[str]) -> str:
    """Charts beside each other."""
    return f'<div class="charts">{"".join(charts)}</div>\n' if charts else ""


def key(names: Sequence[str], colours: Sequence[str]) -> str:
    """Which colour is which run's."""
    shown = zip(names, colours, strict=True)
    return "".join(f'<p class="key"><i style="background:{colour}"></i> {html.escape(name)}</p>' for name, colour in shown)


def sheet(path: Path, caption: str) -> str:
    """A PNG file, held by the page, with what it shows."""
    content = base64.b64encode(path.read_bytes()).decode()
    words = html.escape(caption)
    return f'<figure><img alt="{words}" src="data:image/png;base64,{content}"><figcaption>{words}</figcaption></figure>\n'
