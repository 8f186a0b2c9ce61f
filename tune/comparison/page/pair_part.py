"""What a page has of two runs besides their scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tune.comparison.page.parts import figures, in_words, key, paragraphs, section, sheet, table
from tune.comparison.page.svg import COLOURS, Line, line_chart

if TYPE_CHECKING:
    from tune.comparison.two_runs.matched_heads import MatchedHead
    from tune.comparison.two_runs.pair import Pair

MOST_ROWS = 40  # of the table of a head's matched clusters


def pair_part(pair: Pair) -> str:
    """Settings that differ, matched clusters with their sheets, and the curves of both runs over one another."""
    settings = table(["setting", *pair.names], [[name, *values] for name, values in pair.settings]) if pair.settings else ""
    parts = [section("Settings that differ", settings)]
    sheets = {path.stem: path for path in pair.sheets}
    matched = [_head(pair, head, sheets.get(f"matched-head{head.number}")) for head in pair.heads]
    parts.append(section(f"Which clusters of {pair.names[0]} became which of {pair.names[1]}", "".join(matched)))
    curves = "".join(_section(pair, name, drawn) for name, drawn in pair.curves.sections.items())
    parts.append(section("Curves", key(pair.names, COLOURS[:2]) + curves if curves else ""))
    return "".join(parts)


def _head(pair: Pair, head: MatchedHead, drawn: Path | None) -> str:
    rows = head.rows()
    said = [head.sentence(pair.names)]
    said += [f"The table shows the first {MOST_ROWS} of {len(rows)} rows; clusters.csv has all."] if len(rows) > MOST_ROWS else []
    picture = f'<div class="sheets">{sheet(drawn, f"head {head.number}: matched clusters")}</div>' if drawn else ""
    content = paragraphs(said) + picture + table(pair.columns, in_words(rows[:MOST_ROWS]))
    return section(f"Head {head.number}", content, 3)


def _section(pair: Pair, title: str, names: list[str]) -> str:
    charts = [
        line_chart(name, pair.curves.axis, [
            Line(*line) for line in zip(pair.names, pair.curves.points[name], COLOURS[:2], strict=True)
        ])
        for name in names
    ]  # fmt: skip
    return section(title, figures(charts), 3)
