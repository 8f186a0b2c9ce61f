"""`report.html`: a comparison as one file, which loads nothing and runs no script, so that it opens anywhere."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.files.location import Location
from pipelines.tracking.figures import EPOCH
from tune.comparison.budget import AXES
from tune.comparison.charts import MOST_SETTINGS, SizeCurve, needs_log, places_of
from tune.comparison.comparison import Comparison
from tune.comparison.page.pair_part import pair_part
from tune.comparison.page.parts import figures, in_words, key, paragraphs, section, table
from tune.comparison.page.run_sheets import sheets_part
from tune.comparison.page.svg import COLOURS, MOST_DOTS, Line, bar_chart, interval_chart, line_chart
from tune.comparison.tables import figure_text, has_key_charts, names_of, run_rows, setting_cells, summary

NAME = "report.html"
MOST_CURVES = 200  # runs, best settings first: more lines are one colour
MOST_LETTERS = 60  # of a setting's name; the names of its runs stand for a longer one
SIZE_COLOURS = (COLOURS[1], COLOURS[0], COLOURS[3])  # as in the picture
SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # what a browser may load: nothing that is not in the page
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1240px; padding: 0 1em; color: #222; }
h1 { font-size: 1.4em; } h2 { font-size: 1.15em; margin-top: 2em; } h3 { font-size: 1em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; } thead th { border-bottom: 2px solid #999; }
.charts, .sheets { display: flex; flex-wrap: wrap; gap: 14px; align-items: flex-start; }
.sheets figure { margin: 0; max-width: 100%; } .sheets.pair figure { max-width: calc(50% - 7px); }
.sheets img { max-width: 100%; } figcaption { color: #555; } .key i { display: inline-block; width: 1em; height: .7em; }
svg { max-width: 100%; height: auto; } svg text { font-size: 11px; fill: #444; } svg text.title { font-size: 12px; fill: #222; }
.title, .middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: #e4e4e4; } .line { fill: none; stroke-width: 1.6; opacity: .8; } .line:hover { stroke-width: 4; opacity: 1; }
.dot { stroke: transparent; stroke-width: 9; } .dot:hover { stroke: #0003; } .whisker { stroke: #555; stroke-width: 2; }
.bar { stroke: #1f77b4; stroke-width: 14; } g:hover > .bar, g:hover > .whisker { stroke: #000; }
"""


def write_report(compared: Comparison, sizes: Mapping[str, Sequence[SizeCurve]], path: Path) -> None:
    """Write the page.

    Args:
        compared: what was found.
        sizes: cluster sizes of its runs by setting, the best setting first.
        path: of the file.

    Raises:
        OSError: when it cannot be written.
    """
    title = html.escape(compared.title)
    parts = [f"<h1>{title}</h1>", paragraphs(summary(compared)), _settings(compared), _charts(compared, sizes)]
    parts += [pair_part(compared.pair) if compared.pair else "", sheets_part(compared), _runs(compared)]
    parts.append(section("Notes", paragraphs(compared.notes)))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{SAFE}">'
    head = f'<head><meta charset="utf-8">{policy}<title>{title}</title><style>{STYLE}</style></head>'
    page = f'<!DOCTYPE html>\n<html lang="en">{head}\n<body>\n{"".join(parts)}\n</body></html>\n'
    Location.of(path).write_bytes(page.encode("utf-8", errors="xmlcharrefreplace"))


def _settings(compared: Comparison) -> str:
    names, rows = setting_cells(compared, sizes=True)
    return section("Settings", table(names, rows))


def _runs(compared: Comparison) -> str:
    names, rows = run_rows(compared)
    return section("Runs", table(names, in_words(rows)))


def _charts(compared: Comparison, sizes: Mapping[str, Sequence[SizeCurve]]) -> str:
    """All charts of scores; nothing where no run has one."""
    scored = [line for line in compared.lines if line.judged]
    if not scored:
        return ""
    told = has_key_charts(compared)
    charts = [_intervals(compared), *(_by_key(compared) if told else [])]
    if told and (shares := sorted(compared.importance.items(), key=lambda item: -item[1])):
        title = f"share of the variance of {compared.metric} that the key explains alone"
        charts.append(bar_chart(title, [(name, share, f"{name}: {share:.1%}") for name, share in shares]))
    charts.append(_curves(compared))
    settings = [_label(compared, index) for index, line in enumerate(compared.lines) if line.judged][: len(COLOURS)]
    beside = [_sizes(label, runs) for label, runs in list(sizes.items())[:MOST_SETTINGS]]
    legend = key(("largest cluster", "smallest", "minimum"), SIZE_COLOURS) if beside else ""
    left_out = [f"cluster sizes are those of the {MOST_SETTINGS} best settings"] if len(sizes) > MOST_SETTINGS else []
    left_out += [f"curves are those of the first {MOST_CURVES} runs"] if len(compared.runs) > MOST_CURVES else []
    left_out += [f"colours of curves come again after {len(COLOURS)} settings"] if len(scored) > len(COLOURS) else []
    said = ["What lies under the pointer says its values", f"of a line of more than {MOST_DOTS} points so many do", *left_out]
    shown = figures(charts) + key(settings, COLOURS[: len(settings)]) + figures(beside) + legend
    return section("Charts", shown + paragraphs([f"{'; '.join(said)}."]))


def _label(compared: Comparison, index: int) -> str:
    label = compared.named(index) or "all runs"
    return label if len(label) < MOST_LETTERS else names_of(compared.lines[index])


def _intervals(compared: Comparison) -> str:
    rows = []
    for index, line in enumerate(compared.lines):
        if line.judged:
            setting, label = line.judged.setting, _label(compared, index)
            low, high = setting.interval or (setting.mean, setting.mean)
            told = f"{figure_text(low)} to {figure_text(high)}" if setting.interval else "one seed, so no interval"
            rows.append((label, low, setting.mean, high, f"{label}\n{figure_text(setting.mean)}, {told}\n{names_of(line)}"))
    return interval_chart(f"{compared.metric}: mean and 95 % interval", rows)


def _by_key(compared: Comparison) -> list[str]:
    scored = [(record, row) for record, row in compared.runs if row]
    return [_of_key(compared.metric, name, scored) for name in compared.keys]


def _of_key(metric: str, name: str, scored: Sequence[tuple[Any, Any]]) -> str:
    values = [record.point.get(name) for record, _ in scored]
    places, names = places_of(values)
    scores = np.array([row.value for _, row in scored])
    different = np.unique(places)
    heights = np.array([scores[places == place].mean() for place in different])
    means = Line("mean", np.stack([different, heights], axis=1), COLOURS[1])
    said = [f"{record.name}, seed {record.seed}" if record.seed else record.name for record, _ in scored]
    runs = Line(metric, np.stack([places, scores], axis=1), joined=False, hovers=said)
    return line_chart(metric, name, [means, runs], log=needs_log(values), names=names)


def _curves(compared: Comparison) -> str:
    """The metric of each run over its epochs, in the colour of its setting."""
    axis = EPOCH if all(record.series.get(EPOCH) for record, row in compared.runs if row) else ""
    lines = []
    for index, line in enumerate(compared.lines):
        for record, row in line.runs:
            if row:
                steps = np.array(list(record.series[compared.metric]), float)
                places = record.epochs_at(steps) if axis else steps
                points = np.stack([places, list(record.series[compared.metric].values())], axis=1)
                name = "\n".join(filter(None, [record.name, compared.named(index)]))
                lines.append(Line(name, points, COLOURS[index % len(COLOURS)]))
    return line_chart(f"{compared.metric} of each run", AXES[axis], lines[:MOST_CURVES])


def _sizes(label: str, runs: Sequence[SizeCurve]) -> str:
    lines = []
    for run in runs:
        ends = np.asarray(run.epochs) + 1
        named = zip(("largest", "smallest", "minimum"), (run.largest, run.smallest, np.full(len(ends), run.least)), strict=True)
        for (name, values), colour in zip(named, SIZE_COLOURS, strict=True):
            lines.append(Line(name, np.stack([ends, np.asarray(values, float)], axis=1), colour, dotted=name != "minimum"))
    return line_chart(f"images of a cluster: {label}", "epochs", lines)
