"""Charts as plain SVG inside a page: what lies under the pointer says its values, without a script."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 440, 250  # px of a chart
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 44  # px around what is drawn
ROW, NAMES = 22, 340  # px of a row of bars or intervals, and of the names beside them
MOST_LETTERS = 58  # of a title, or of a name beside a row; the rest is under the pointer
MOST_DOTS, MOST_CORNERS = 200, 2000  # of a line: dots that say their values, corners that it is drawn by
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Line:
    """Points of a chart.

    Attributes:
        name: of the line.
        points: (P, 2) place and value, by rising places where they are joined.
        colour: of CSS.
        joined: by a line.
        dotted: with a dot at each point; of a joined line at `MOST_DOTS` of more, as the line shows where the others lie.
        hovers: what each dot says besides place and value; of more than `MOST_DOTS` so many say theirs.
    """

    name: str
    points: np.ndarray
    colour: str = COLOURS[0]
    joined: bool = True
    dotted: bool = True
    hovers: Sequence[str] = ()


def line_chart(title: str, axis: str, lines: Sequence[Line], *, log: bool = False, names: Sequence[str] = ()) -> str:
    """Lines or clouds of points.

    Args:
        title: above the chart.
        axis: below it.
        lines: of one point at least.
        log: whether places, which are above 0, are on a logarithmic axis.
        names: of the places 0, 1, ... instead of numbers.
    """
    points = np.concatenate([line.points for line in lines])
    across, ticks = _axis(points[:, 0], (LEFT, WIDTH - RIGHT), log=log, names=len(names))
    up, levels = _axis(points[:, 1], (HEIGHT - BOTTOM, TOP))
    parts = [
        _text(WIDTH / 2, 16, _short(title, MOST_LETTERS), "title", hover=title),
        _text(WIDTH / 2, HEIGHT - 6, axis, "middle"),
    ]
    for tick in ticks:
        label = names[int(tick)] if names else f"{tick:g}"
        parts.append(_text(across(tick), HEIGHT - BOTTOM + 16, _short(label, 14), "middle", hover=label))
    for level in levels:
        parts.append(f'<path class="grid" d="M{LEFT} {up(level):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 5, up(level) + 4, f"{level:g}", "end"))
    parts += [_line(line, axis, across, up, names) for line in lines]
    return _svg(WIDTH, HEIGHT, parts)


def interval_chart(title: str, rows: Sequence[tuple[str, float, float, float, str]]) -> str:
    """A mean with its interval a row; a row is name, low, mean, high and what it says under the pointer."""
    across, ticks = _axis(np.array([row[1:4] for row in rows]).ravel(), (NAMES, 2 * WIDTH - RIGHT))
    return _rows(title, [(name, hover) for name, *_, hover in rows], across, ticks, [
        f'<path class="whisker" d="M{across(low):.1f} {{y}}H{across(high):.1f}"/>'
        f'<circle class="dot" fill="{COLOURS[0]}" cx="{across(mean):.1f}" cy="{{y}}" r="4"/>'
        for _, low, mean, high, _ in rows
    ])  # fmt: skip


def bar_chart(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """A bar of a share from 0 to 1 a row; a row is name, share and what it says under the pointer."""
    across, ticks = _axis(np.array([0.0, 1.0]), (NAMES, 2 * WIDTH - RIGHT), margin=0.0)
    return _rows(title, [(name, hover) for name, _, hover in rows], across, ticks, [
        f'<path class="bar" d="M{NAMES} {{y}}H{across(share):.1f}"/>' for _, share, _ in rows
    ])  # fmt: skip


def _rows(title: str, names: Sequence[tuple[str, str]], across: Scale, ticks: Sequence[float], marks: Sequence[str]) -> str:
    """Rows of marks, `{y}` of which stands for the middle of the row."""
    bottom = TOP + ROW * len(names)
    parts = [_text(WIDTH, 16, title, "title")]
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{across(tick):.1f} {TOP}V{bottom}"/>')
        parts.append(_text(across(tick), bottom + 16, f"{tick:g}", "middle"))
    for place, ((name, hover), mark) in enumerate(zip(names, marks, strict=True)):
        y = TOP + ROW * place + ROW / 2
        label = _text(NAMES - 8, y + 4, _short(name, MOST_LETTERS), "end")
        parts.append(f"<g>{_hover(hover)}{label}{mark.replace('{y}', f'{y:.1f}')}</g>")
    return _svg(2 * WIDTH, bottom + 24, parts)


def _axis(
    values: np.ndarray, ends: tuple[float, float], *, log: bool = False, names: int = 0, margin: float = 0.04
) -> tuple[Scale, list[float]]:
    """From a value to its place in px, and the values of the ticks."""
    known = np.log10(values) if log else values
    low, high = (-0.5, names - 0.5) if names else (float(known.min()), float(known.max()))
    pad = (high - low) * margin if high > low else abs(low) * 0.05 or 0.5
    low, high = low - pad, high + pad

    def place(value: float) -> float:
        number = float(np.log10(value)) if log else value
        return ends[0] + (number - low) / (high - low) * (ends[1] - ends[0])

    if names:
        return place, list(map(float, range(names)))
    bounds = (10**low, 10**high) if log else (low, high)
    ticks = (LogLocator(subs=(1.0, 2.0, 5.0)) if log else MaxNLocator(5)).tick_values(*bounds)
    return place, [float(tick) for tick in ticks if bounds[0] <= tick <= bounds[1]]


def _line(line: Line, axis: str, across: Scale, up: Scale, names: Sequence[str]) -> str:
    count, parts = len(line.points), [_hover(line.name)]
    if line.joined and count > 1:
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line.points[_spread(count, MOST_CORNERS)])
        parts.append(f'<path class="line" stroke="{line.colour}" d="M{path}"/>')
    telling = set(_spread(count, MOST_DOTS).tolist())
    for place in (range(count) if not line.joined else sorted(telling)) if line.dotted or count == 1 else ():
        x, y = line.points[place]
        hover = _hover(_values(line, place, axis, names)) if place in telling else ""
        parts.append(f'<circle class="dot" fill="{line.colour}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5">{hover}</circle>')
    return f"<g>{''.join(parts)}</g>"


def _values(line: Line, place: int, axis: str, names: Sequence[str]) -> str:
    """What a dot says."""
    x, y = line.points[place]
    said = f"{line.name}\n{axis} {names[int(x)] if names else f'{x:g}'}: {y:.6g}"
    return f"{said}\n{line.hovers[place]}" if line.hovers else said


def _spread(count: int, most: int) -> np.ndarray:
    """Places of so many points, from the first to the last, or of as many as are shown of them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, kind: str, hover: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{_hover(hover) if hover else ""}{html.escape(text)}</text>'


def _hover(text: str) -> str:
    return f"<title>{html.escape(text)}</title>"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
