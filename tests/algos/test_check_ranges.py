"""Ranges of settings: what is refused, and that the key is named as a recipe spells it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from algos.check_ranges import require_not_negative, require_positive, require_shares

NAN = float("nan")


def given(**values):
    return SimpleNamespace(**values)


@pytest.mark.parametrize(
    ("require", "good", "bad", "said"),
    [
        (require_shares, (0, 0.5, 1), (-0.1, 1.1, NAN), r"it must lie in \[0, 1\]"),
        (require_positive, (1e-9, 3, None), (0, -1, NAN), "it must be positive"),
        (require_not_negative, (0, 2.5), (-1, -1e-9, NAN), "it must be 0 or more"),
    ],
)
def test_what_is_in_range_passes_and_the_rest_is_named(require, good, bad, said):
    require(given(**{f"key{index}": value for index, value in enumerate(good)}), *(f"key{index}" for index in range(len(good))))
    for value in bad:
        with pytest.raises(ValueError, match=rf"^method\.second is {value}; {said}$"):
            require(given(first=1, second=value), "first", "second", part="method")
        with pytest.raises(ValueError, match=rf"^second is {value}; {said}$"):
            require(given(second=value), "second")


@pytest.mark.parametrize(("require", "said"), [(require_positive, "positive"), (require_not_negative, "0 or more")])
@pytest.mark.parametrize("value", [float("inf"), 1e300, 1 << 200])
def test_no_number_is_beyond_what_float32_holds(require, said, value):
    require(given(lr=1e30), "lr")
    with pytest.raises(ValueError, match=rf"^optimizer.lr is .*; it must be {said} and at most 1e\+30$"):
        require(given(lr=value), "lr", part="optimizer")


def test_no_positive_number_is_0_in_float32():
    require_positive(given(temperature=1e-30), "temperature")
    with pytest.raises(ValueError, match=r"^method\.temperature is 1e-46; it must be positive and at least 1e-30$"):
        require_positive(given(temperature=1e-46), "temperature", part="method")
