"""Numbers in recipes and in words of a shell: decimal ones, which mean the same everywhere."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.clustering.config import ClusterConfig
from pipelines.config.plain_values import PlainLoader, number_of
from pipelines.config.training_config import PretrainConfig
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


@given(texts=st.lists(st.text("-+.0123456789eE_:", max_size=8)), number=st.floats(allow_nan=False), whole=st.integers())
@example(texts=["1.5e3", "-.5", "+.5", "-.5e3", "10_000", "12e34"], number=1e22, whole=-1)
def test_what_yaml_writes_is_read_as_it_was(texts, number, whole):
    kept = [texts, number, whole]
    assert yaml.load(yaml.safe_dump(kept), PlainLoader) == kept


def test_texts_that_look_like_numbers_stay_texts():
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
    for key, word in (("passes", text), ("dual_lr", text), ("num_clusters", f"[{text}, 5]")):
        with pytest.raises(UserError, match=f"{key} is '{text}'; give a"):
            read(tmp_path, key, word, recipe=recipe)
    assert number_of(text, int) is None
    assert number_of(text, float) is None


@pytest.mark.parametrize("text", ["01.5", "1.5.2", "1_0.5", "", "e5", "."])
def test_what_is_no_number_is_none(text):
    assert number_of(text, float) is None
    assert not isinstance(yaml.load(text, PlainLoader), float)


@pytest.mark.parametrize(
    ("text", "value"), [(".inf", math.inf), ("-.INF", -math.inf), ("inf", math.inf), ("1e3", 1e3), ("10_000", 1e4)]
)  # fmt: skip
def test_infinity_and_exponents_are_numbers_of_a_word(text, value):
    assert number_of(text, float) == value
    assert math.isnan(number_of(".nan", float))


@pytest.mark.parametrize("text", ["010", "1_0", "1:30"])
def test_numbers_within_sections_and_lists_of_them_are_looked_at_too(text):
    for key, word in (("views.large", f"[{{size: {text}}}]"), ("optimizer.betas", f"[0.9, {text}]"), ("optimizer.lr", text)):
        with pytest.raises(UserError, match=f"{key}.* is '{text}'; give"):
            build_config(PretrainConfig, "coke_digits", {key: word, "data": "x"}, {})
