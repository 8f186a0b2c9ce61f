"""Charts of a page: points lie where their values are, and say them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.pages.read_page import Page
from tune.comparison.page import svg
from tune.comparison.page.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, bar_chart, interval_chart, line_chart


def dots(chart):
    return [(float(dot.attributes["cx"]), float(dot.attributes["cy"])) for dot in Page(chart).all("circle")]


def texts(chart):
    return [text.text for text in Page(chart).all("text")]


def test_a_dot_lies_where_its_value_is():
    chart = line_chart("score", "epochs", [Line("run", np.array([[0.0, 10.0], [1.0, 20.0], [2.0, 30.0]]))])
    (left, low), (middle, half), (right, high) = dots(chart)
    assert LEFT < left < middle < right < WIDTH - RIGHT
    assert TOP < high < half < low < HEIGHT - BOTTOM
    assert (middle, half) == (pytest.approx((left + right) / 2, abs=0.1), pytest.approx((low + high) / 2, abs=0.1))
    assert [title.text for title in Page(chart).all("circle")[1].all("title")] == ["run\nepochs 1: 20"]


def test_decades_lie_equally_far_apart_on_a_logarithmic_axis():
    points = np.array([[0.01, 1.0], [0.1, 1.0], [1.0, 1.0]])
    one, two, three = (x for x, _ in dots(line_chart("score", "lr", [Line("run", points)], log=True)))
    assert two - one == pytest.approx(three - two, abs=0.2)


def test_names_stand_below_their_places():
    chart = line_chart("score", "optimizer", [Line("run", np.array([[0, 0.1], [1, 0.2]]), joined=False)], names=["lars", "sgd"])
    assert {"larslars", "sgdsgd"} <= set(texts(chart))  # the text, and what it says under the pointer
    assert [title.text for dot in Page(chart).all("circle") for title in dot.all("title")] == [
        "run\noptimizer lars: 0.1", "run\noptimizer sgd: 0.2",
    ]  # fmt: skip
    assert [path for path in Page(chart).all("path") if path.attributes["class"] == "line"] == []


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0, 5.0], [-3.0, -3.0], [1e-9, 2e-9], [1e12, -1e12]])
def test_any_values_have_a_place_inside_the_chart(values):
    for x, y in dots(line_chart("score", "epochs", [Line("run", np.array([[1.0, value] for value in values]))])):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM


def test_a_long_line_keeps_its_ends_and_has_fewer_dots(monkeypatch):
    monkeypatch.setattr(svg, "MOST_DOTS", 5)
    points = np.stack([np.arange(100.0), np.arange(100.0)], axis=1)
    page = Page(line_chart("score", "epochs", [Line("run", points)]))
    said = [dot.text for dot in page.all("circle")]
    assert (len(said), said[0], said[-1]) == (5, "run\nepochs 0: 0", "run\nepochs 99: 99")
    (line,) = (path for path in page.all("path") if path.attributes["class"] == "line")
    assert line.attributes["d"].count("L") == 99


def test_a_cloud_shows_every_point_and_so_many_say_their_values(monkeypatch):
    monkeypatch.setattr(svg, "MOST_DOTS", 5)
    points = np.stack([np.arange(100.0), np.arange(100.0) ** 2], axis=1)
    chart = line_chart("score", "lr", [Line("runs", points, joined=False, hovers=[f"run {n}" for n in range(100)])])
    assert len(set(dots(chart))) == 100
    said = [dot.text for dot in Page(chart).all("circle") if dot.text]
    assert (len(said), said[0], said[-1]) == (5, "runs\nlr 0: 0\nrun 0", "runs\nlr 99: 9801\nrun 99")


def test_an_interval_reaches_from_its_low_end_to_its_high_one():
    page = Page(interval_chart("score", [("a", 0.1, 0.2, 0.4, "more of a"), ("b", 0.3, 0.3, 0.3, "more of b")]))
    whiskers = [path.attributes["d"] for path in page.all("path") if path.attributes["class"] == "whisker"]
    (low, high), (start, end) = ([float(part) for part in (d[1:].split()[0], d.split("H")[1])] for d in whiskers)
    mean, other = (float(dot.attributes["cx"]) for dot in page.all("circle"))
    assert (mean - low) / (high - low) == pytest.approx(1 / 3, abs=0.01)
    assert start == end == other
    assert [group.all("title")[0].text for group in page.all("g")] == ["more of a", "more of b"]


def test_bars_are_as_long_as_their_shares():
    page = Page(bar_chart("share", [("a", 1.0, ""), ("b", 0.25, "")]))
    ends = [[float(part) for part in (d[1:].split()[0], d.split("H")[1])]
            for d in (path.attributes["d"] for path in page.all("path") if path.attributes["class"] == "bar")]  # fmt: skip
    (start, whole), (same, quarter) = ends
    assert start == same
    assert (quarter - start) / (whole - start) == pytest.approx(0.25, abs=0.001)


def test_texts_are_escaped():
    evil = "</title><script>x</script>"
    page = Page(line_chart(evil, evil, [Line(evil, np.array([[0.0, 1.0]]), hovers=[evil])], names=[evil]))
    assert page.all("script") == []
    assert len(page.all("circle")) == 1
