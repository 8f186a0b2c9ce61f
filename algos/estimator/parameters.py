"""What each parameter of the estimator may be, as scikit-learn checks it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from algos.check_ranges import MOST

PARAMETERS: dict[str, list[Any]] = {
    "n_clusters": [Interval(Integral, 1, None, closed="left")],
    "min_size_ratio": [Interval(Real, 0, 1, closed="both")],
    "min_cluster_size": [Interval(Real, 0, None, closed="left"), None],
    "max_size_ratio": [Interval(Real, 1, None, closed="left"), None],
    "max_cluster_size": [Interval(Real, 0, None, closed="neither"), None],
    "dual_lr": [Interval(Real, 0, MOST, closed="right"), None],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "metric": [StrOptions({"cosine", "euclidean"})],
    "init": [StrOptions({"random", "k-means++"}), "array-like"],
    "exact": ["boolean"],
    "device": [str, torch.device, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def refuse_truths(given: Mapping[str, Any]) -> None:
    """Refuse true and false where a number is wanted: Python takes them for 1 and 0.

    Raises:
        InvalidParameterError: naming the parameter.
    """
    for name, value in given.items():
        if isinstance(value, bool) and isinstance(PARAMETERS[name][0], Interval):
            raise InvalidParameterError(f"{name} is {value}; give a number")
