"""Texts on pictures."""

from __future__ import annotations

import pytest

from pipelines.files.pictures import plain_text


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("a", None, "a"), ("$x$ b", None, "\\$x\\$ b"), ("abcdefgh", 8, "abcdefgh"), ("abcdefghi", 8, "abcde..."),
        ("$" * 9, 8, "\\$" * 5 + "..."),
    ],
)  # fmt: skip
def test_no_formula_is_seen_and_a_long_text_is_cut(text, most, shown):
    assert plain_text(text, most) == shown
