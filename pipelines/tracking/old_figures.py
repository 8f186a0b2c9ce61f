"""Names of figures in runs of version 0.1, which had no sections: such runs are read under the present names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from pipelines.errors import UserError
from pipelines.tracking import figures

SECTIONS = {"labels_": figures.LABELS, "evaluate_": f"{figures.EVALUATE}/test", "untrained_": f"{figures.UNTRAINED}/test"}
NEW = ("labels", "val")  # sections whose figures version 0.1 had no plain names for
RENAMED = {
    **{name: f"{section}/{name}" for section in figures.PLAIN for name in figures.PLAIN[section] if section not in NEW},
    **{f"pseudo_{name}": f"pseudo_labels/{name}" for name in figures.PLAIN["pseudo_labels"]},
    "data_wait_share": figures.WAIT_SHARE, "data_wait_seconds": figures.WAIT_SECONDS,
    "labels_rows_per_second": figures.LABELS_PER_SECOND,
    "rows_train": figures.TRAIN_ROWS, "rows_test": figures.score(figures.TEST, figures.ROWS),
}  # fmt: skip
_HEAD = re.compile(rf"({'|'.join(SECTIONS)})?({'|'.join(figures.OF_HEAD)})_head(\d+)")
_SCORED = re.compile(rf"({figures.EVALUATE}|{figures.UNTRAINED})_(.+)")


@functools.lru_cache(maxsize=4096)
def present_name(name: str) -> str:
    """What a figure of version 0.1 is called now; any other name as it is."""
    if head := _HEAD.fullmatch(name):
        return figures.head_figure(head[2], int(head[3]), SECTIONS.get(head[1], figures.CLUSTERS))
    if (scored := _SCORED.fullmatch(name)) and scored[2] in RENAMED:
        return f"{scored[1]}/{RENAMED[scored[2]]}"
    return RENAMED.get(name, name)


def by_present_names(values: Mapping[str, float]) -> dict[str, float]:
    """Figures under their present names; where a run has one under both, the value of the present name."""
    old = {present_name(name): value for name, value in values.items()}
    return old | {name: value for name, value in values.items() if present_name(name) == name}


def refuse_old(metric: str) -> None:
    """Refuse a metric by a name of version 0.1.

    Raises:
        UserError: with its present name.
    """
    if present_name(metric) != metric:
        raise UserError(f"metric {metric!r}: {metric} is {present_name(metric)} now")
