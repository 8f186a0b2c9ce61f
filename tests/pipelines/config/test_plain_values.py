"""Numbers in recipes and in words of a shell: decimal ones, which mean the same everywhere."""

from __future__ import annotations

import math

import pytest
import yaml

from pipelines.clustering.config import ClusterConfig
from pipelines.config.plain_values import PlainLoader, is_number
from pipelines.errors import UserError
from quorum.settings import build_config

ODD = ("010", "1:30", "0x10", "0o7", "1_0", "\u0663", "\uff15")


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("-3", -3), ("0", 0), ("0.5", 0.5), (".5", 0.5), ("1.0e-05", 1e-5), ("1.e+3", 1e3), (".inf", math.inf),
     ("12e34", "12e34"), ("1_0.5", "1_0.5"), ("190:20:30.15", "190:20:30.15"), ("true", True), ("null", None),
     *((text, text) for text in ODD)],
)  # fmt: skip
def test_yaml_holds_decimal_numbers(text, value):
    assert yaml.load(text, PlainLoader) == value


def test_what_yaml_writes_is_read_as_it_was():
    kept = [1, -2, 0.1, 1e-5, 1e22, "010", "12e34", "1:30", "0x10", "1_0", "1e3", "", "7", "0.5", True, None, math.inf]
    assert yaml.load(yaml.safe_dump(kept), PlainLoader) == kept


def read(tmp_path, key, text, *, recipe):
    values = {"num_clusters": "5", "data": "x", "to": "y", key: text}
    if not recipe:
        return getattr(build_config(ClusterConfig, None, values, {}), key)
    (tmp_path / "r.yaml").write_text("".join(f"{name}: {value}\n" for name, value in values.items()), encoding="utf-8")
    return getattr(build_config(ClusterConfig, str(tmp_path / "r.yaml"), {}, {}), key)


@pytest.mark.parametrize("recipe", [True, False])
@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("passes", "7", 7),
        ("passes", "+7", 7),
        ("dual_lr", "1e-3", 1e-3),
        ("dual_lr", "7", 7.0),
        ("num_clusters", "[5, 6]", [5, 6]),
    ],
)
def test_a_number_is_the_same_in_a_recipe_and_in_a_word(tmp_path, key, text, value, recipe):
    assert read(tmp_path, key, text, recipe=recipe) == value


@pytest.mark.parametrize("recipe", [True, False])
@pytest.mark.parametrize("text", ODD)
def test_a_number_that_may_mean_two_things_is_refused(tmp_path, text, recipe):
    for key, given in (("passes", text), ("dual_lr", text), ("num_clusters", f"[{text}, 5]")):
        with pytest.raises(UserError, match=f"{key} is '{text}'; give a"):
            read(tmp_path, key, given, recipe=recipe)
    assert not is_number(text, int)
    assert not is_number(text, float)
