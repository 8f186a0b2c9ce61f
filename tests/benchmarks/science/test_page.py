"""Every table of docs/science.md is redrawn from the kept runs by its command."""

from __future__ import annotations

import pytest

from benchmarks.science.__main__ import APART, main
from benchmarks.science.page import PAGE, tables_in, write_table
from benchmarks.science.read_studies import read_studies
from pipelines.errors import UserError
from tests.helpers.places import ROOT


def test_every_table_of_the_page_is_redrawn_by_its_command(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    tables = tables_in(PAGE.read_text())
    assert set(tables) <= {*read_studies(), *APART}
    for name, table in tables.items():
        assert main(["table", name]) == 0
        assert capsys.readouterr().out == table, f"python -m benchmarks.science table {name} --write"


def test_a_table_is_put_between_its_marks_and_nothing_else_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("A\n<!-- table: few-labels -->\nold\n<!-- end -->\nB\n<!-- table: coke -->\n<!-- end -->\nC\n")
    write_table(page, "coke", "| new \\1 |\n")
    assert page.read_text() == (
        "A\n<!-- table: few-labels -->\nold\n<!-- end -->\nB\n<!-- table: coke -->\n| new \\1 |\n<!-- end -->\nC\n"
    )
    assert tables_in(page.read_text()) == {"few-labels": "old\n", "coke": "| new \\1 |\n"}
    with pytest.raises(UserError, match=r"no place for study cok; write <!-- table: cok --> and <!-- end -->"):
        write_table(page, "cok", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- table: a -->\nx\n", "mark is missing"),
        ("<!-- table: a -->\nx\n<!-- table: b -->\n<!-- end -->\n", "mark is missing"),
        ("<!-- table: a -->\n<!-- end -->\n<!-- table: a -->\n<!-- end -->\n", "two tables of study a"),
    ],
)
def test_marks_that_do_not_go_together_are_refused(text, said):
    with pytest.raises(UserError, match=said):
        tables_in(text)
