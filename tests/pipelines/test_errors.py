"""Errors that a user can act on: of an unknown word the nearest that is known."""

from __future__ import annotations

import pytest

from pipelines.errors import nearest


@pytest.mark.parametrize(
    ("word", "name"),
    [("trian", "train"), ("TRAIN", "train"), ("digits", "Digits"), ("ÉTÉ", "été")],
)
def test_a_word_is_near_whatever_its_capitals(word, name):
    assert nearest(word, ["test", "train", "Digits", "été"], "data.") == f"; nearest valid name: data.{name}"


def test_of_two_names_that_differ_in_capitals_the_first_is_meant_and_of_none_near_nothing_is_said():
    assert nearest("CATT", ["Cat", "cat"]) == "; nearest valid name: Cat"
    assert nearest("zebra", ["cat"]) == ""
