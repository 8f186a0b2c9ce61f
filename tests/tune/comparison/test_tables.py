"""The table of a comparison, as a user reads it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tune.comparison.compare import compare
from tune.comparison.tables import names_of, show


@pytest.fixture
def said(monkeypatch, capsys):
    """What `show` prints of some targets on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "220")

    def run(*targets, sizes=False, **options):
        show(compare(list(targets), **options), sizes=sizes)
        return capsys.readouterr().out

    return run


def cells(text, start):
    """The cells of the row whose first cell is `start`."""
    rows = ([cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line)
    return next(row for row in rows if row[: len(start)] == start)


@pytest.fixture
def grid(store):
    parent = store.sweep("grid")
    for seed in range(3):
        store.trial(parent, {"lr": 0.1, "n": 100}, seed, values=(0.90 + seed / 100,), sizes=[(14.4, 13, 60)], name=f"a{seed}")
        store.trial(parent, {"lr": 0.01, "n": 100}, seed, values=(0.89 + seed / 100,))
        store.trial(parent, {"lr": 0.001, "n": 100}, seed, values=(0.50 + seed / 100,))
    store.trial(parent, {"lr": 0.1, "n": 10}, 0, values=(0.2,))
    store.trial(parent, {"lr": 0.1, "n": 10}, 1, values=(0.1,), outcome="stopped", seconds=540)
    store.trial(parent, {"lr": 10.0, "n": 10}, 1, outcome="failed", reason="the loss is nan")
    return parent


def test_a_row_has_score_interval_verdict_and_cost(said, grid):
    text = said(grid)
    assert "grid: test/knn_top1 (max) within 100 images" in text
    assert cells(text, ["0.1", "100"]) == [
        "0.1", "100", "0.9100 +- 0.0100", "0.8852 to 0.9348", "3", "best", "300", "3.0 min", "0",
    ]  # fmt: skip
    assert cells(text, ["0.01", "100"])[5] == "= best (p 0.29)"
    assert cells(text, ["0.001", "100"])[5].startswith("p ")
    assert cells(text, ["0.1", "10"]) == ["0.1", "10", "0.2000", "-", "1", "cannot tell: one seed", "200", "10.0 min", "1"]
    assert cells(text, ["10", "10"]) == ["10", "10", "-", "-", "0", "none finished", "0", "60 s", "0"]


def test_the_summary_answers_the_three_questions(said, grid):
    text = said(grid)
    assert "best: lr 0.1, n 100 with test/knn_top1 0.9100; ahead of the next by -0.0127 to 0.0327 (95 % interval" in text
    assert "of 3 others 1 are worse, 1 cannot be told from it, 1 have too few seeds to tell" in text
    assert "variance of the settings explained by one key alone: n " in text
    assert "12 runs: 10 finished, 1 stopped, 1 failed, 0 running; 1,100 images, 0.333 h; failures: the loss is nan (1)" in text


def test_a_narrow_terminal_has_a_line_a_setting_and_its_figures_unbroken_below(said, grid, monkeypatch):
    wide = said(grid)
    monkeypatch.setenv("COLUMNS", "80")
    lines = said(grid).splitlines()
    assert lines[0] == "1: lr 0.1, n 100; 300 images, 3.0 min, 0 stopped"
    assert lines[1].startswith("2: lr 0.01, n 100; ")
    rows = [line.split() for line in lines if line[:2] in ("1 ", "4 ")]
    assert rows[0] == ["1", "0.9100", "+-", "0.0100", "0.8852", "to", "0.9348", "3", "best"]
    assert " ".join(rows[1]) == "4 0.2000 - 1 cannot tell: one seed"
    assert lines[-1] == wide.splitlines()[-1]


def test_what_all_runs_of_a_setting_are_called_stands_once():
    names = ["arm-a.1", "arm-a.2"], ["one", "other"], ["alone.1"], ["same.x", "same.x"]
    lines = [SimpleNamespace(runs=[(SimpleNamespace(name=name), None) for name in each]) for each in names]
    assert [names_of(line) for line in lines] == ["arm-a.{1, 2}", "one, other", "alone.1", "same.{x, x}"]


def test_sizes_are_those_of_the_best_epoch(said, store):
    parent = store.sweep()
    for seed in range(2):
        store.trial(parent, {"n": 1}, seed, values=(0.9, 0.5), sizes=[(14.4, 13 + seed, 60), (14.4, 1, 99)])
    store.trial(parent, {"n": 2}, 0, values=(0.2, 0.3))
    text = said(parent, sizes=True)
    assert "#constraint" in text
    assert cells(text, ["1"])[5:8] == ["14.4", "13.5", "60.0"]
    assert cells(text, ["2"])[5:8] == ["-", "-", "-"]
    assert "#min" not in said(parent)


def test_seeds_that_agree_to_the_bit_show_no_difference(said, store):
    parent = store.sweep()
    for seed in range(2):
        for n in (1, 2):
            store.trial(parent, {"n": n}, seed, values=(n / 4,))
    assert cells(said(parent), ["1"])[4] == "cannot tell: no spread"


def test_many_differing_keys_are_one_column_of_names(said, store):
    ids = [store.run(f"run-{i}", params={f"key{k}": i for k in range(8)}, values=(i / 10,)) for i in range(2)]
    text = said(*ids)
    assert cells(text, ["run-1"])[1] == "0.1000"
    assert "8 keys differ; settings.csv has their values" in text
    assert "best: run-1 with" in text
    assert "explained by one key" not in text


def test_brackets_in_a_value_are_shown(said, store):
    parent = store.sweep("[bold]sweep")
    store.trial(parent, {"clusters": [100, 200]}, 0, values=(0.5,))
    store.trial(parent, {"clusters": "[red]"}, 0, values=(0.4,))
    text = said(parent)
    assert cells(text, ["[100, 200]"])[1] == "0.5000"
    assert cells(text, ["[red]"])[1] == "0.4000"
    assert "[bold]sweep" in text


def test_a_loss_far_from_1_keeps_its_digits(said, store):
    parent = store.sweep(metric="my_loss", mode="min")
    store.trial(parent, {"n": 1}, 0, values=(0.00001234,), metric="my_loss")
    store.trial(parent, {"n": 2}, 0, values=(123456.0,), metric="my_loss")
    assert (cells(said(parent), ["1"])[1], cells(said(parent), ["2"])[1]) == ("1.234e-05", "1.235e+05")


def test_a_narrow_terminal_breaks_no_sentence_and_cuts_no_heading(said, store, monkeypatch):
    parent = store.sweep()
    for n in (1, 2):
        store.trial(parent, {"an_option_with_a_long_name": n}, 0, values=(n / 4,))
    monkeypatch.setenv("COLUMNS", "60")
    text = said(parent)
    assert "\u2026" not in text
    assert "the budget that every finished run reached; +- is the standard deviation over seeds" in text


def test_a_verdict_is_whole_where_no_more_than_the_scores_have_room(said, grid, monkeypatch):
    for columns, shown in ((64, "4 0.2000 - 1 cannot tell: one seed"), (60, "4 0.2000 - 1 one seed")):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = [" ".join(line.split()) for line in said(grid).splitlines()]
        assert shown in lines
        assert "1 0.9100 +- 0.0100 0.8852 to 0.9348 3 best" in lines


def test_a_terminal_that_is_too_narrow_for_all_figures_has_them_in_two_tables(said, grid, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = said(grid, sizes=True, final=True).splitlines()
    (scores,) = [line.split() for line in lines if line.startswith("1 0.9100")]
    assert scores == ["1", "0.9100", "+-", "0.0100", "0.8852", "to", "0.9348", "3", "best"]
    head = next(place for place, line in enumerate(lines) if "#constraint" in line)
    assert lines[head].split() == ["final", "evaluate/test/knn_top1", "#constraint", "#min", "#max"]
    assert lines[head + 1].split() == ["1", "-", "14.4", "13.0", "60.0"]
