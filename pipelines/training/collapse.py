"""Signs that a representation collapses, in words: what was seen, what is likely the cause, and which key to change.

Thresholds are such that a run that learns is far from them: a healthy backbone's features have an effective rank of tens, and its
largest cluster a few times the mean size. docs/problems.md has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algos.kmeans.certificate import EpochSummary

FEW_DIMENSIONS = 2.5  # effective rank of the backbone's features from which down they count as collapsed
LEAST_FEATURES = 16  # a backbone of fewer numbers may do with so few
STILL = 0.01  # share of labels that change from epoch to epoch, below which they stand still


@dataclass(frozen=True)
class CollapseKeys:
    """Settings that a collapse may come from.

    Attributes:
        min_size_ratio: of the method; `None` where it has none.
        dual_lr: of the method, where it is given.
        lr: peak learning rate.
        clips: whether gradients are clipped.
        warmup_epochs: of the learning rate.
        assignment: of the method, where it has several.
    """

    min_size_ratio: float | None
    dual_lr: float | None
    lr: float
    clips: bool
    warmup_epochs: int
    assignment: str = "constrained"


@dataclass(frozen=True)
class Sign:
    """One sign of collapse.

    Attributes:
        kind: `rank` or `cluster`; each is told once of a run.
        words: a sentence.
    """

    kind: str
    words: str


def signs(
    keys: CollapseKeys, epoch: int, heads: Sequence[EpochSummary], *, label_change: float | None, rank: float | None,
    features: int,
) -> list[Sign]:  # fmt: skip
    """The signs that an epoch's end shows.

    Args:
        keys: settings of the run.
        epoch: that ended.
        heads: its clusters.
        label_change: share of the labels that changed since the epoch before; `None` where that is not known.
        rank: RankMe of the backbone's features; `None` where it was not measured.
        features: numbers of these.
    """
    found = [one_cluster(keys, epoch, heads, label_change), few_dimensions(keys, epoch, rank, features)]
    return [sign for sign in found if sign is not None]


def one_cluster(keys: CollapseKeys, epoch: int, heads: Sequence[EpochSummary], label_change: float | None) -> Sign | None:
    """A cluster with more than half of what lies between an equal share and all images."""
    shares = [float(head.counts.max() / head.counts.sum().clamp(min=1)) for head in heads]
    full = [(share, head) for head, share in enumerate(shares) if 2 * share > 1 + 1 / len(heads[head].counts)]
    if not full:
        return None
    share, head = max(full)
    still = label_change is not None and label_change < STILL
    standing = f", and only {label_change:.1%} of the labels change" if still else ""
    return Sign(
        "cluster", f"epoch {epoch + 1}: one cluster of head {head} holds {share:.0%} of the images{standing}: the clusters "
        f"collapse; {_cause_of_one_cluster(keys)}",
    )  # fmt: skip


def _cause_of_one_cluster(keys: CollapseKeys) -> str:
    least, step = keys.min_size_ratio, keys.dual_lr
    if keys.assignment == "none":
        return "likely because method.assignment is none, in which nothing bounds a cluster: set it to constrained"
    if least is not None and least < 0.1:
        return f"likely because method.min_size_ratio is {least:g}: raise it, for example to 0.4"
    if step is not None:
        return f"likely because the minimum sizes come too slowly: raise method.dual_lr ({step:g}), or set it to null"
    return f"likely because the features change faster than the clusters: lower optimizer.lr ({keys.lr:g})"


def few_dimensions(keys: CollapseKeys, epoch: int, rank: float | None, features: int) -> Sign | None:
    """Features of very few dimensions, once the warm-up is over: those of random weights may have few too."""
    if rank is None or features < LEAST_FEATURES or rank > FEW_DIMENSIONS or epoch <= keys.warmup_epochs:
        return None
    return Sign(
        "rank", f"epoch {epoch + 1}: the features of all images lie in {rank:.1f} dimensions of {features} (RankMe): the "
        f"representation collapses; likely because the learning rate is too high: lower optimizer.lr ({keys.lr:g})"
        + ("" if keys.clips else " or set optimizer.clip_norm"),
    )  # fmt: skip
