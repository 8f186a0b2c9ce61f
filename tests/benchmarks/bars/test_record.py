"""The table of the last figures: a new one replaces its own row, and what can no longer be measured has none."""

from __future__ import annotations

import pytest
import yaml

from benchmarks.bars.bar import Bar, load_bars
from benchmarks.bars.measure import Outcome
from benchmarks.bars.record import MEASURED, PAGE, as_markdown, keep

BARS = {name: Bar(name, f"what {name} is", f"run {name}", "s", at_most=2.0) for name in ("first", "second", "third")}


@pytest.fixture
def kept(tmp_path):
    """Keeps outcomes in a folder; returns the figures by name and the rows of the page by name."""

    def put(*outcomes: Outcome, alone: bool = True):
        measured, page = tmp_path / "measured.yaml", tmp_path / "bars.md"
        keep(outcomes, BARS, alone=alone, measured=measured, page=page)
        rows = [line for line in page.read_text().splitlines() if line.startswith("| ") and "what" in line]
        figures = {name: one["value"] for name, one in yaml.safe_load(measured.read_text()).items()}
        return figures, {row.split(" | ")[0].strip("| "): row for row in rows[1:]}

    return put


def test_each_bar_has_a_row_and_keeps_its_last_figure(kept):
    kept(Outcome(BARS["second"], 1.0), Outcome(BARS["first"], 3.0))
    figures, rows = kept(Outcome(BARS["second"], 4.0))
    assert figures == {"first": 3.0, "second": 4.0}
    assert list(rows) == list(BARS)
    assert "| <= 2 s | 4 s | 0.5x |" in rows["second"]
    assert "| not measured |" in rows["third"]


def test_a_bar_whose_command_fails_loses_its_figure_and_one_left_out_keeps_it(kept):
    kept(Outcome(BARS["first"], 1.0), Outcome(BARS["second"], 1.0))
    needy = Bar("second", "", "", "s", at_most=2.0, needs=["no_such_module"])
    figures, _ = kept(Outcome(BARS["first"], problem="it broke"), Outcome(needy, problem="needs no_such_module"))
    assert figures == {"second": 1.0}


def test_a_figure_taken_beside_other_programs_says_so(kept):
    _, rows = kept(Outcome(BARS["first"], 1.0), alone=False)
    assert "not alone" in rows["first"]
    _, rows = kept(Outcome(BARS["first"], 1.0))
    assert "not alone" not in rows["first"]


def test_the_page_in_the_tree_is_that_of_the_bars_and_the_figures_in_the_tree():
    kept = yaml.safe_load(MEASURED.read_text()) or {}
    assert PAGE.read_text() == as_markdown(load_bars(), kept), "python -m benchmarks.bars.record writes it anew"
