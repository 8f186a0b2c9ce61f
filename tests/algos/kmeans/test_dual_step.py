"""The step of the duals where none is given."""

from __future__ import annotations

import pytest

from algos.kmeans.dual_step import default_dual_lr


def test_default_dual_lr_is_near_the_published_one_and_grows_with_k_and_b():
    assert default_dual_lr(4000, 0.4, 1250) == pytest.approx(8.0)
    assert default_dual_lr(100, 0.4, 100) > default_dual_lr(50, 0.4, 100) > default_dual_lr(50, 0.4, 200)
