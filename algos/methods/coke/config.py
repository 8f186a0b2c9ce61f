"""The settings of CoKe, free of torch. Source: Qian et al., CVPR 2022; method.md section 2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from algos.balanced.plan_settings import EPSILON, ITERATIONS
from algos.check_ranges import require_not_negative, require_positive, require_shares
from algos.idle_settings import Idle, other_than
from algos.methods.assignment import IDLE_DUAL_LR, Assignment, require_assignment

Epoch = Literal["previous", "current"]


@dataclass(frozen=True)
class CoKeConfig:
    """Settings of CoKe; the papers' symbols in brackets.

    Attributes:
        name: of the method.
        num_clusters: clusters of each head [K].
        assignment: `constrained` by learned prices, `sinkhorn` by a balanced plan of each batch (SwAV), `none`: nearest center.
        min_size_ratio: a cluster's minimum share of the rows times K [ratio]; 0 no minimum, 1 equal sizes; null takes 0.4 where
            the assignment is constrained.
        max_size_ratio: a cluster's maximum likewise, 1 or more; null for none.
        dual_lr: step size of the duals [lambda]; null takes `default_dual_lr`, from K, the ratio and the batches of an epoch.
        sinkhorn_epsilon: weight of the plan's entropy [epsilon].
        sinkhorn_iterations: of the plan.
        sinkhorn_queue: rows of past batches in the plan; null takes what makes 4/3 rows a cluster with the batch, 0 for none.
        dim: size of the embeddings [D].
        predictor_hidden: width of the predictor; 0 for none.
        temperature: logits are similarities / temperature [T].
        label_weight: share of the cluster label in a view's target [alpha]; 1 with one view.
        predictor_weight: share of the predictor's loss, the rest is the projector's [beta].
        large_weight: share of the large views' loss against the small crops' [beta].
        target_labels: labels in the loss are of the `previous` epoch or the `current` batch.
        target_centers: centers in the loss are of the `previous` epoch's end or the `current` running ones.
        average_from: first epoch of the second stage [stage], where labels and centers are of `previous` epochs; null for
            none.
        slots: labels remembered per instance in the second stage.
        slot_temperature: of the second stage's soft targets [tt].
    """

    usual_ratio: ClassVar[float] = 0.4
    idle: ClassVar[tuple[Idle, ...]] = (
        IDLE_DUAL_LR,
        Idle(
            ("slots", "slot_temperature"), {"average_from": other_than(None)}, "set average_from to where the second stage begins"
        ),
        Idle(("predictor_hidden",), {"predictor_weight": bool}, "give the predictor a weight"),
        Idle(("predictor_weight",), {"predictor_hidden": bool}, "give the predictor a width"),
        Idle(("large_weight",), {"views.small": bool}, "give small crops, which have the rest of the loss"),
    )
    stages: ClassVar[dict[str, tuple[int, str]]] = {
        "average_from": (2, "anything averaged is learned from"),  # averages of an epoch are the next one's targets
    }

    name: Literal["coke"] = "coke"
    num_clusters: list[int] = field(default_factory=lambda: [3000, 4000, 5000])
    assignment: Assignment = "constrained"
    min_size_ratio: float | None = None
    max_size_ratio: float | None = None
    dual_lr: float | None = None
    sinkhorn_epsilon: float = EPSILON
    sinkhorn_iterations: int = ITERATIONS
    sinkhorn_queue: int | None = None
    dim: int = 128
    predictor_hidden: int = 512
    temperature: float = 0.1
    label_weight: float = 1.0
    predictor_weight: float = 1.0
    large_weight: float = 0.5
    target_labels: Epoch = "previous"
    target_centers: Epoch = "previous"
    average_from: int | None = None
    slots: int = 5
    slot_temperature: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values outside their range, naming the key."""
        require_assignment(self)
        require_shares(self, "label_weight", "predictor_weight", "large_weight", part="method")
        require_positive(self, "temperature", "slot_temperature", "dim", "slots", part="method")
        require_not_negative(self, "predictor_hidden", part="method")
        if not self.num_clusters or min(self.num_clusters) < 2:
            raise ValueError(f"method.num_clusters is {self.num_clusters}; give at least one head of 2 clusters or more")
        if self.average_from is not None and self.average_from < 1:
            raise ValueError(f"method.average_from is {self.average_from}; the second stage starts at epoch 1 or later")
        if self.average_from is not None and self.target_centers == "current":
            raise ValueError(
                "method.target_centers is current, but the second stage (method.average_from) averages the centers of finished "
                "epochs; set target_centers to previous, or average_from to null"
            )
        if self.average_from is not None and self.target_labels == "current":
            raise ValueError(
                "method.target_labels is current, but the second stage (method.average_from) averages the labels of finished "
                "epochs; set target_labels to previous, or average_from to null"
            )
