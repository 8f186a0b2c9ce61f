"""Numbers of things in words."""

from __future__ import annotations

from pipelines.words import counted


def test_one_is_one_and_more_are_many():
    assert [counted(number, "run") for number in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]
    assert [counted(number, "class") for number in (1, 3)] == ["1 class", "3 classes"]
