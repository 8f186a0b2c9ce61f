"""Labels as people write them become numbers of classes."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from pipelines.ingest.containers.labels import classes_of

WHERE = "column 'label' of x.parquet"


@pytest.mark.parametrize(
    ("values", "names", "classes", "labels"),
    [
        ([0, 2, 1, 2], None, ["0", "1", "2"], [0, 2, 1, 2]),
        (["2", "0", "1"], None, ["0", "1", "2"], [2, 0, 1]),
        ([1, 3, 2], None, ["1", "2", "3"], [0, 2, 1]),  # counted from one
        (["0.0", "10.0", "1.0", *map(str, range(2, 10))], None, [str(i) for i in range(11)], [0, 10, 1, *range(2, 10)]),
        (["cat", "NaN", "null", "<NA>", "-1.0"], None, ["cat"], [0, None, None, None, None]),
        (["cat", "N/A", "n/a", "None", "NA", "nan"], None, ["cat"], [0, None, None, None, None, None]),
        (["none", "na", "cat"], None, ["cat", "na", "none"], [2, 1, 0]),  # which may well be classes
        (["None", "", "tumor"], ["None", "tumor"], ["None", "tumor"], [0, None, 1]),  # as the source says itself
        (["3.5", "cat"], None, ["3.5", "cat"], [0, 1]),
        (["caf\u00e9", "cafe\u0301"], None, ["caf\u00e9"], [0, 0]),  # one name, as a Mac writes it and as others do
        (["cafe\u0301"], ["caf\u00e9"], ["caf\u00e9"], [0]),
        ([900, 5, 900], None, ["5", "900"], [1, 0, 1]),
        ([10, 9], ["a"] * 11, ["a"] * 11, [10, 9]),
        (["dog", "cat"], None, ["cat", "dog"], [1, 0]),
        (["dog", "cat"], ["dog", "cat", "cow"], ["dog", "cat", "cow"], [0, 1]),
        (["cat", "", None, "-1", "cat"], None, ["cat"], [0, None, None, None, 0]),
        ([0, -1, 1.0, float("nan")], None, ["0", "1"], [0, None, 1, None]),
        ([True, False], None, ["0", "1"], [1, 0]),
        (["007", "7"], None, ["007", "7"], [0, 1]),
        (["1", "b"], None, ["1", "b"], [0, 1]),
        ([None, None], None, [], [None, None]),
        (["9007199254740993", "9007199254740992.0"], None, ["9007199254740992", "9007199254740993"], [1, 0]),  # above 2^53
        (["-2", "cat"], None, ["-2", "cat"], [0, 1]),
        ([1, 1, None], None, ["1"], [0, 0, None]),
    ],
)
def test_values_become_classes(values, names, classes, labels):
    assert classes_of(values, names, WHERE) == (classes, labels)


def test_a_number_that_no_class_has_is_refused():
    with pytest.raises(UserError, match=r"x.parquet: label 3 is none of the 2 classes"):
        classes_of([0, 3], ["a", "b"], WHERE)
    with pytest.raises(UserError, match=r"x.parquet holds 0.5, which is no class"):
        classes_of([0, 0.5], None, WHERE)
    with pytest.raises(UserError, match=r"x.parquet holds 0.50, which is no class; give the column of the classes with --label"):
        classes_of(["1", "0.50", ""], None, WHERE)
    with pytest.raises(UserError, match=r"x.parquet holds numbers \(0\) and names \('cat'\); write one kind"):
        classes_of([0, "cat"], None, WHERE)


@pytest.mark.parametrize("values", [[0, 1, -100], [-2.0, 0.0], ["-10", "0", "10"], ["-2.0", "-1", ""]])
def test_numbers_below_minus_1_are_no_classes(values):
    with pytest.raises(UserError, match=r"holds -\d+(\.0)?; numbers of classes go from 0, and -1 or nothing says that there is"):
        classes_of(values, None, WHERE)


@pytest.mark.parametrize("values", [[-1, 1], ["1", "-1"], [1.0, -1.0]])
def test_minus_1_beside_1_alone_is_a_class_to_whoever_wrote_it(values):
    with pytest.raises(UserError, match="holds -1 and 1 alone"):
        classes_of(values, None, WHERE)


def test_a_name_that_two_classes_have_says_none_of_them():
    names = ["crane", "dog", "crane"]
    assert classes_of([2, 0, 1], names, "x") == (names, [2, 0, 1])
    assert classes_of(["dog"], names, "x") == (names, [1])
    with pytest.raises(UserError, match="x: several classes are called 'crane'; write labels as the numbers of classes"):
        classes_of(["dog", "crane"], names, "x")
