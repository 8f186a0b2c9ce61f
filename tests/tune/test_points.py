"""What tells runs apart: differing parameters without those of how a run was made."""

from __future__ import annotations

import pytest

from tune.points import decode, differences, differing, identity, label_of, labels_of


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


def test_data_of_another_content_at_one_place_are_a_setting():
    again = [{"data": "/a", "data.fingerprint": content} for content in ("f", "g")]
    assert points(*again) == [{"data": "/a of f"}, {"data": "/a of g"}]
    assert points(again[0], {"data": "/a"}) == [{}, {}]  # of a run that did not note it nothing else is known


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


def test_every_setting_that_differs_is_told_but_where_a_run_is_kept():
    one = {
        "name": "a",
        "storage": "x",
        "to": "x/a",
        "tracking.uri": "u",
        "seed": "0",
        "compute.workers": "1",
        "same": "1",
        "only": "5",
    }
    other = {"name": "b", "storage": "y", "to": "y/b", "tracking.uri": "v", "seed": "1", "compute.workers": "2", "same": "1"}
    assert differences([one, other]) == [("compute.workers", ["1", "2"]), ("only", ["5", "-"]), ("seed", ["0", "1"])]


def test_of_structured_settings_the_parts_that_differ_are_told():
    views = [f"[{{'size': 28, 'scale': [{low}, 1.0]}}]" for low in (0.2, 0.6)]
    assert differences([{"views.large": each} for each in views]) == [
        ("views.large", ["[{..., scale [0.2, 1.0]}]", "[{..., scale [0.6, 1.0]}]"])
    ]
    assert differences([{"x": "[1, 2"}, {"x": "[3]"}]) == [("x", ["[1, 2", "[3]"])]


def test_the_same_data_elsewhere_are_no_difference():
    one, other = ({"data": place, "data.fingerprint": "same"} for place in ("a", "b"))
    assert differences([one, other]) == []
    assert [key for key, _ in differences([one, {**other, "data.fingerprint": "new"}])] == ["data", "data.fingerprint"]


def test_clusterings_in_other_folders_are_repetitions():
    runs = [{"num_clusters": "25", "to": place, "seed": seed} for place, seed in (("a", "0"), ("b", "1"))]
    assert (points(*runs), seeds(*runs)) == ([{}, {}], ["0", "1"])


TRAINING = {"method.num_clusters": "[20]", "seed": "0"}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("compute.precision", ("fp32", "bf16")), ("monitor.split", ("val", "test")), ("monitor.knn_epochs", ("1", "5")),
        ("monitor.knn_bank", ("100", "200")), ("monitor.knn_queries", ("100", "200")), ("monitor.knn_neighbours", ("10", "20")),
        ("monitor.knn_temperature", ("0.07", "0.1")), ("monitor.feature_epochs", ("2", "5")),
        ("monitor.feature_images", ("100", "200")), ("monitor.accuracy_epochs", ("1", "2")),
    ],
)  # fmt: skip
def test_what_the_networks_compute_with_and_what_is_scored_is_a_setting(key, values):
    found = points(*(TRAINING | {key: value} for value in values))
    assert [point[key] for point in found] == [decode(value) for value in values]
    assert found[0] != found[1]


@pytest.mark.parametrize("key", ["monitor.log_steps", "monitor.picture_epochs", "compute.channels_last", "compute.gpu"])
def test_what_no_score_sees_is_no_setting(key):
    assert points(TRAINING | {key: "1"}, TRAINING | {key: "2"}) == [{}, {}]


def test_a_training_that_did_not_say_what_it_is_scored_by_has_what_was_then_and_null_what_it_stands_for():
    before = TRAINING | {"monitor.knn_epochs": "1"}
    said = {"compute.precision": "fp32", "monitor.feature_images": "2000", "monitor.feature_epochs": "1", "monitor.split": "None"}
    assert points(before, before | said) == [{}, {}]
    assert points(before | said, before | said | {"monitor.feature_epochs": "None"}) == [{}, {}]
    assert points(TRAINING, TRAINING | {"compute.precision": "bf16"})[0] == {"compute.precision": "fp32"}


def test_integers_that_no_float_tells_apart_are_different_points():
    assert identity({"a": 2}) == identity({"a": 2.0})
    assert identity({"a": 2**60}) != identity({"a": 2**60 + 1})
    assert identity({"a": 10**400}) != identity({"a": 10**400 + 1})
