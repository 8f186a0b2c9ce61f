"""The settings of SeCu, free of torch. Source: Qian, "Stable Cluster Discrimination for Deep Clustering", ICCV 2023."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from algos.check_ranges import require_not_negative, require_positive, require_shares, require_size_ratios
from algos.idle_settings import Idle
from algos.methods.assignment import IDLE_DUAL_LR


@dataclass(frozen=True)
class SeCuConfig:
    """Settings of SeCu; the paper's symbols in brackets. The defaults are those of CIFAR-10; recipes set the others.

    Attributes:
        name: of the method.
        num_clusters: clusters of each head [K].
        min_size_ratio: a cluster's minimum share of the rows times K [ratio]; 0 no minimum, 1 equal sizes.
        max_size_ratio: a cluster's maximum likewise, 1 or more; null for none.
        dual_lr: step size of the duals [lambda]; null takes `default_dual_lr`, from K, the ratio and the batches of an epoch.
        dim: size of the embeddings [D].
        projector_layers: 2 for the small one of the paper's small images, 3 for CoKe's, which it takes on ImageNet.
        predictor_hidden: width of the predictor, whose outputs then share in every loss and in the labels; 0 for none.
        temperature: of the representation's loss; logits are similarities / temperature [T_x].
        center_temperature: of the centers' loss [T_w].
        label_weight: share of the cluster label in a view's target, the rest is the other view's prediction [alpha].
        center_lr: learning rate of the centers, from the first batch to the last.
        center_momentum: of their updates.
        center_weight_decay: of the centers, which are not unit vectors before they are used.
        center_trust: trust coefficient of LARS, a head at a time; null for plain SGD.
    """

    idle: ClassVar[tuple[Idle, ...]] = (IDLE_DUAL_LR,)

    name: Literal["secu"] = "secu"
    num_clusters: list[int] = field(default_factory=lambda: [*range(10, 101, 10)])
    min_size_ratio: float = 0.9
    max_size_ratio: float | None = None
    dual_lr: float | None = None
    dim: int = 128
    projector_layers: Literal[2, 3] = 2
    predictor_hidden: int = 0
    temperature: float = 0.05
    center_temperature: float = 0.05
    label_weight: float = 0.2
    center_lr: float = 1.2
    center_momentum: float = 0.9
    center_weight_decay: float = 1e-4
    center_trust: float | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range, naming the key."""
        require_size_ratios(self, part="method")
        require_shares(self, "label_weight", part="method")
        require_positive(self, "temperature", "center_temperature", "dim", "center_lr", "center_trust", "dual_lr", part="method")
        require_not_negative(self, "center_weight_decay", "predictor_hidden", part="method")
        if not self.num_clusters or min(self.num_clusters) < 2:
            raise ValueError(f"method.num_clusters is {self.num_clusters}; give at least one head of 2 clusters or more")
        if not 0 <= self.center_momentum < 1:
            raise ValueError(f"method.center_momentum is {self.center_momentum}; it must lie in [0, 1)")
