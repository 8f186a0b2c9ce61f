"""Figures are read from what commands print; what goes wrong with one bar is a sentence of that bar alone."""

from __future__ import annotations

import re

import pytest

from benchmarks.bars.bar import Bar
from benchmarks.bars.measure import Outcome, measure, read, run
from benchmarks.report import Figure
from pipelines.errors import UserError


def bar(command: str, **keys) -> Bar:
    """A bar with the figure `speed`, at least 2 s."""
    return Bar("speed", "a thing", command, **{"unit": "s", "at_least": 2.0} | keys)


def python(program: str) -> str:
    """A command that runs a program."""
    return f'python -c "{program}"'


def only(one: Bar) -> Outcome:
    """The outcome of one bar, quietly."""
    (outcome,) = measure([one], show=lambda line: None)
    return outcome


def test_the_last_line_of_a_figure_counts(capfd):
    Figure("speed", 1234.5678, "s").tell()
    line = capfd.readouterr().out.strip()
    outcome = only(bar(python(f"print('figure speed 1 s'); print('{line}'); print('figure speedy 7 s')")))
    assert outcome.value == pytest.approx(1234.5678, rel=1e-5)
    assert outcome.verdict == "reached"


def test_a_figure_can_be_read_by_an_expression_or_be_the_time_of_the_command():
    assert only(bar("echo 1.5 s a trial, 3.5 s a trial", read=r"([\d.]+) s a trial")).value == 3.5
    slept = only(bar(python("import time; time.sleep(0.6)"), read="wall", unit="min", at_least=0.01))
    assert 0.01 <= slept.value < 0.5
    assert slept.reached


def test_a_bound_that_is_missed_is_told_as_a_share():
    assert only(bar("echo figure speed 1.4 s")).verdict == "0.7x"


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (bar("echo nothing"), "`echo nothing` printed no line `figure speed VALUE s`"),
        (bar("echo figure speed 3 min"), "`echo figure speed 3 min` gave speed in min, its bound is in s"),
        (bar("echo figure speed fast s"), "`echo figure speed fast s` gave speed as 'fast', which is no number"),
        (bar("echo x", read="y(.)"), "`echo x` printed nothing that matches y(.)"),
        (bar("no-such-program"), "`no-such-program` cannot be started: No such file or directory"),
        (bar("x", needs=["no_such_module"]), "needs no_such_module"),
    ],
)
def test_what_goes_wrong_is_one_sentence(one, said):
    outcome = only(one)
    assert (outcome.value, outcome.verdict) == (None, said)


def test_a_command_that_fails_says_how_with_its_last_line():
    command = python("import sys; print('first'); sys.exit('out of memory')")
    with pytest.raises(UserError, match=f"^{re.escape(f'`{command}` ended with exit code 1: out of memory')}$"):
        run(command, lambda line: None)


def test_modules_are_compiled_once_as_they_are_where_people_work(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert run(python("import sys; print(sys.dont_write_bytecode)"), lambda line: None).output == "False"


def test_bars_of_one_command_share_its_run_and_others_go_on_after_a_failure(tmp_path):
    count = tmp_path / "count"
    command = python(f"open('{count}', 'a').write('x'); print('figure a 1 s'); print('figure b 2 s')")
    bars = [Bar(name, "", given, "s", at_least=2) for name, given in (("a", command), ("c", "false"), ("b", command))]
    outcomes = {outcome.bar.name: outcome for outcome in measure(bars, show=lambda line: None)}
    assert count.read_text() == "x"
    assert {name: outcome.value for name, outcome in outcomes.items()} == {"a": 1, "b": 2, "c": None}
    assert outcomes["c"].verdict == "`false` ended with exit code 1: nothing was printed"


def test_lines_are_shown_as_they_come():
    shown = []
    read(bar("echo figure speed 3 s"), run("echo figure speed 3 s", shown.append))
    assert shown == ["$ echo figure speed 3 s", "figure speed 3 s"]
