"""The names of all figures that are recorded. What stands before the last slash is a name's section on MLflow's page.

| section | what its figures tell |
|---|---|
| `train/` | what is optimised: losses, learning rate |
| `val/`, `test/` | scores on the split of that name |
| `features/val/`, `features/train/` | features of images of the split of that name, without labels |
| `pseudo_labels/` | guesses that a method with classes trains on |
| `clusters/`, `clusters/headN/` | clusters of the rows that are trained on, and those of each head |
| `parents/headN/` | clusters that are parents of others, where a clustering of embeddings has two levels |
| `labels/`, `labels/headN/` | labels that a clustering of embeddings wrote, and those of each head |
| `quality/headN/` | how good the clusters of each head of such a clustering are |
| `stream/` | how fast rows come, and what training waits for |
| `progress/` | how far a run is |
| `system/`, `system/NODE/` | what the machines are doing that a run is on, by MLflow's names |
| `evaluate/...`, `untrained/...` | scores of a checkpoint, and of its network before the first step: `evaluate/test/knn_top1` |
| `evaluate/DATA/...`, `untrained/DATA/...` | those on other data than the run's own, or of a probe on a choice of labels |

Algorithms give their figures plain names; they get a section here, where they are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

KNN, LINEAR, ACCURACY, ACCURACY_EMA = SCORES = ("knn_top1", "linear_top1", "accuracy", "accuracy_ema")  # of a split
OF_CLASSIFIER = (ACCURACY, ACCURACY_EMA)
MACRO, TOP5, ECE = "macro", "top5", "ece"  # of guessed classes, beside the share that is right
PLAIN = {  # names without a section, by their section
    "train": (
        "loss", "epoch_loss", "lr", "gradient_norm", "loss_labelled", "loss_unlabelled", "loss_prototype_labelled",
        "loss_prototype_unlabelled", "loss_consistency", "loss_fairness",
    ),
    "val": SCORES,
    "test": SCORES,
    "pseudo_labels": (
        "reliable_rate", "refined_change", "mean_threshold", "mean_weight", "largest_class_share", "coverage",
        "accuracy_classifier", "accuracy_cluster", "accuracy_refined", "accuracy_reliable",
    ),
    "clusters": ("label_change",),
    "labels": ("rows_per_second",),
    "stream": (
        "images_per_second", "rows_per_second", "wait_share", "wait_seconds", "rows_left_out", "epoch_gap_seconds", "unreadable",
    ),
    "progress": ("epoch", "images_seen", "evaluation_seconds"),
}  # fmt: skip
OF_HEAD = {  # plain name of a head's figure -> its name below the head
    "cluster_size_min": "smallest", "cluster_size_max": "largest", "cluster_size_median": "median",
    "cluster_size_entropy": "size_entropy",
    "empty_clusters": "empty", "clusters_below_minimum": "below_minimum", "smallest_to_minimum": "smallest_to_minimum",
    "min_size": "min_size", "certificate_slack": "certificate_slack", "similarity": "similarity",
    "max_size": "max_size", "clusters_above_maximum": "above_maximum", "certificate_slack_above": "certificate_slack_above",
    "moved": "moved", "mean_optimality_gap": "mean_optimality_gap",
    "mean_repair_cost": "mean_repair_cost", "changed_since_start": "changed_since_start", "changed_share": "changed_share",
    "size_gini": "size_gini", "silhouette": "silhouette", "simplified_silhouette": "simplified_silhouette",
    "closest_centers": "closest_centers",
    "nmi": "nmi", "purity": "purity", "ari": "ari", "matched_accuracy": "matched_accuracy",
}  # fmt: skip
OF_FEATURES = ("rankme", "alpha_req", "alpha_req_fit", "lidar", "alignment", "uniformity", "images")
OF_TRUTH = ("nmi", "purity", "ari", "matched_accuracy")  # of a head
CLUSTERS, LABELS, QUALITY, VAL, TEST = "clusters", "labels", "quality", "val", "test"  # sections with heads
PARENTS = "parents"  # another of them
PSEUDO_LABELS, FEATURES = "pseudo_labels", "features"
SYSTEM = "system"  # section by which MLflow knows what its page of system metrics shows
EVALUATE, UNTRAINED = "evaluate", "untrained"  # in front of a score's name


def score(split: str, name: str) -> str:
    """Name of a split's score by its plain one."""
    return f"{split}/{name}"


def head_figure(name: str, head: int = 0, section: str = CLUSTERS) -> str:
    """Name of a head's figure by its plain one."""
    return f"{section}/head{head}/{OF_HEAD[name]}"


LOSS, EPOCH_LOSS, LEARNING_RATE, TRAIN_ROWS = "train/loss", "train/epoch_loss", "train/lr", "train/rows"
GRADIENT_NORM = "train/gradient_norm"
OF_STEPS = (LOSS, GRADIENT_NORM)  # means of the steps since the figures before
ROWS = "rows"  # of a split that was scored
LABEL_CHANGE, LABELS_PER_SECOND = "clusters/label_change", "labels/rows_per_second"
PSEUDO_REFINED, PSEUDO_COVERAGE = "pseudo_labels/accuracy_refined", "pseudo_labels/coverage"
IMAGES_PER_SECOND, ROWS_PER_SECOND = "stream/images_per_second", "stream/rows_per_second"
WAIT_SHARE, WAIT_SECONDS = "stream/wait_share", "stream/wait_seconds"
ROWS_LEFT_OUT, EPOCH_GAP = "stream/rows_left_out", "stream/epoch_gap_seconds"
UNREADABLE = "stream/unreadable"
EPOCH, IMAGES_SEEN, EVALUATION_SECONDS = "progress/epoch", "progress/images_seen", "progress/evaluation_seconds"
SMALLEST, LARGEST, MIN_SIZE = head_figure("cluster_size_min"), head_figure("cluster_size_max"), head_figure("min_size")

_METHOD_SECTIONS = ("train", "pseudo_labels", "clusters")
_OF_METHOD = {name: f"{section}/{name}" for section in _METHOD_SECTIONS for name in PLAIN[section]}
_KNOWN = {f"{section}/{name}" for section, names in PLAIN.items() for name in names} | {
    TRAIN_ROWS,
    score(VAL, ROWS),
    score(TEST, ROWS),
}
_GUESSED = re.compile(
    rf"({VAL}|{TEST})/(knn\d+_top1|knn_({TOP5}|{MACRO})|(linear|probe|finetune)_(top1|{TOP5}|{MACRO}|{ECE})"
    rf"|({ACCURACY}|{ACCURACY_EMA})_({TOP5}|{MACRO}|{ECE}))"
)
_HEAD = re.compile(rf"({CLUSTERS}|{PARENTS}|{LABELS}|{QUALITY}|{VAL}|{TEST})/head\d+/({'|'.join(OF_HEAD.values())})")
_FEATURES = re.compile(rf"{FEATURES}/[^/]+/({'|'.join(OF_FEATURES)})")
_MACHINE = re.compile(
    rf"{SYSTEM}/([^/]+/)?((cpu|gpu_\d+)_utilization_percentage|gpu_\d+_power_usage_(watts|percentage)"
    r"|(system_memory|gpu_\d+_memory|object_store)_usage_(megabytes|percentage)"
    r"|network_(receive|transmit)_megabytes|object_store_spilled_megabytes)"
)
_BETTER_WHEN_SMALLER = re.compile(
    r"loss|error|seconds|wait_share|/(alignment|uniformity|empty|below_minimum|above_maximum|size_gini|unreadable)$"
    rf"|_{ECE}$"
)
_SCORED = re.compile(rf"({EVALUATE}|{UNTRAINED})/([^/]+/)??(?={VAL}/|{TEST}/|train/|{FEATURES}/)")


def of_method(values: Mapping[str, float]) -> dict[str, float]:
    """A method's figures by the names that they are recorded under.

    What only the method knows of is told beside its losses.
    """
    return {_OF_METHOD.get(name, f"train/{name}"): value for name, value in values.items()}


def of_split(values: Mapping[str, float], split: str) -> dict[str, float]:
    """Scores on a split by the names that they are recorded under."""
    return {score(split, name): value for name, value in values.items()}


def of_features(values: Mapping[str, float], split: str) -> dict[str, float]:
    """Figures of a split's features by the names that they are recorded under."""
    return {f"{FEATURES}/{split}/{name}": value for name, value in values.items()}


def knn_at(neighbours: int) -> str:
    """Plain name of the kNN score by so many neighbours, where several numbers are asked for."""
    return f"knn{neighbours}_top1"


def of_guesses(by: str, values: Mapping[str, float]) -> dict[str, float]:
    """Scores of the classes that something guesses by their plain names, `linear_macro`; a classifier's own top-1 is its name."""
    return {by if by in OF_CLASSIFIER and name == "top1" else f"{by}_{name}": value for name, value in values.items()}


def data_name(name: str, fingerprint: str) -> str:
    """What other data than a run's own, or chosen labels, are called in names of figures: no two share one."""
    return f"{re.sub('[^A-Za-z0-9_.-]', '_', name)}-{fingerprint}"


def of_heads(heads: Iterable[Mapping[str, float]], section: str = CLUSTERS) -> dict[str, float]:
    """Figures of each head by the names that they are recorded under."""
    return {head_figure(name, head, section): value for head, values in enumerate(heads) for name, value in values.items()}


def known_names() -> list[str]:
    """All names; those of heads for the first one."""
    features = {name for split in (VAL, TEST, "train") for name in of_features(dict.fromkeys(OF_FEATURES, 0.0), split)}
    return sorted(_KNOWN | features | {head_figure(name) for name in OF_HEAD})


def is_of_epoch_end(name: str) -> bool:
    """Whether a worker knows a figure at the end of an epoch: not rates, nor what the record makes of the truth."""
    section, _, plain = name.rpartition("/")
    if section == "stream":
        return name == ROWS_LEFT_OUT
    if section == PSEUDO_LABELS:
        return not plain.startswith("accuracy")
    return name not in (LOSS, LEARNING_RATE, GRADIENT_NORM, TRAIN_ROWS) and plain not in OF_TRUTH


def usual_mode(name: str) -> Literal["max", "min"]:
    """Whether a larger or a smaller value of a figure is the better one, where nobody says."""
    return "min" if _BETTER_WHEN_SMALLER.search(name) else "max"


def is_of_machine(name: str) -> bool:
    """Whether a figure tells of a machine, and not of what the run learns."""
    return name.startswith(f"{SYSTEM}/")


def is_known(name: str) -> bool:
    """Whether this module knows a name."""
    name = _SCORED.sub("", name)
    return name in _KNOWN or any(family.fullmatch(name) for family in (_HEAD, _FEATURES, _GUESSED, _MACHINE))
