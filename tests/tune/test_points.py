"""What tells runs apart: differing parameters without those of how a run was made."""

from __future__ import annotations

import pytest

from tune.points import decode, differing, identity, label_of, labels_of


def points(*runs):
    return [point for point, _ in differing(runs)]


def seeds(*runs):
    return [seed for _, seed in differing(runs)]


def test_only_what_differs_is_a_setting():
    runs = ({"method.dim": "64", "epochs": "10", "seed": "0"}, {"method.dim": "128", "epochs": "10", "seed": "1"})
    assert points(*runs) == [{"method.dim": 64}, {"method.dim": 128}]
    assert seeds(*runs) == ["0", "1"]


@pytest.mark.parametrize(
    "key", ["seed", "name", "storage", "labels", "compute.workers", "checkpoint.keep_last", "monitor.log_steps", "tracking.uri"]
)
def test_how_a_run_was_made_is_no_setting(key):
    assert points({key: "1"}, {key: "2"}) == [{}, {}]


def test_a_key_that_a_run_lacks_is_null():
    assert points({"method.heads": "3"}, {}) == [{"method.heads": 3}, {"method.heads": None}]


def test_a_copy_of_the_same_data_is_no_setting_but_other_data_are():
    same = [{"data": place, "data.fingerprint": "f", "data.rows": "10"} for place in ("/a", "/b")]
    assert points(*same) == [{}, {}]
    other = [{"data": place, "data.fingerprint": place, "data.rows": place} for place in ("/a", "/b")]
    assert points(*other) == [{"data": "/a"}, {"data": "/b"}]


def test_labels_by_one_rule_are_repetitions_over_its_seed():
    runs = [{"labels": f"/runs/{i}.json", "labels.rule": f"4 per class, seed {i}", "seed": "0"} for i in (1, 2)]
    assert points(*runs) == [{}, {}]
    assert seeds(*runs) == ["0, labels 1", "0, labels 2"]


def test_labels_by_other_rules_are_settings():
    runs = [{"labels.rule": f"{count} per class, seed 1", "labels.count": str(10 * count), "seed": "0"} for count in (4, 10)]
    assert points(*runs) == [{"labels.rule": "4 per class"}, {"labels.rule": "10 per class"}]
    assert seeds(*runs) == ["0", "0"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), ("0.5", 0.5), ("1e-06", 1e-6), ("True", True), ("None", None), ("[1, 2]", [1, 2]), ("lars", "lars"), ("", "")],
)
def test_parameters_get_their_types_back(text, value):
    assert decode(text) == value
    assert type(decode(text)) is type(value)


def test_the_order_of_keys_and_the_kind_of_number_make_no_other_point():
    assert identity({"a": 1, "b": "x"}) == identity({"b": "x", "a": 1.0})
    assert identity({"a": [{"b": 1, "c": 2}]}) == identity({"a": [{"c": 2.0, "b": 1.0}]})
    assert len({identity({"a": value}) for value in (1, True, "1", None, 2)}) == 5


def test_values_are_shown_as_a_recipe_spells_them():
    assert [label_of(value) for value in (0.8, 1e-6, 100, True, None, [1, 2], "lars")] == [
        "0.8", "1e-06", "100", "true", "null", "[1, 2]", "lars",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.4, 1, None], ["0.4", "1", "null"]),
        ([[], [{"size": 16, "repeat": 4}]], ["[]", "[{...}]"]),
        ([[{"size": 28}], [{"size": 28, "repeat": 2}]], ["[{...}]", "[{..., repeat 2}]"]),
        ([[{"size": 28}], [{"size": 28}, {"size": 16, "pad": 1}]], ["[{size 28}]", "[{size 28}, {pad 1, size 16}]"]),
        ([{"name": "sgd", "lr": 0.1}, {"lr": 0.2, "name": "sgd"}], ["{..., lr 0.1}", "{..., lr 0.2}"]),
    ],
)
def test_structured_values_are_told_by_what_they_do_not_share(values, expected):
    assert labels_of(values) == expected
