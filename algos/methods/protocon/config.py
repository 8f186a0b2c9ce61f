"""The settings of ProtoCon, free of torch. Source: Nassar et al., CVPR 2023; method.md section 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from algos.balanced.plan_settings import EPSILON, ITERATIONS
from algos.check_ranges import require_not_negative, require_positive, require_shares
from algos.idle_settings import Idle, one_of, other_than
from algos.methods.assignment import IDLE_DUAL_LR, Assignment, require_assignment

Alignment = Literal["window", "ema", "debias", "label_shift", "none"]
Shares = Literal["equal", "labels", "predicted", "estimated"]
Confidence = Literal["fixed", "flexmatch", "freematch", "softmatch", "adamatch"]
Vote = Literal["similarity", "count", "score"]


@dataclass(frozen=True)
class ProtoConConfig:
    """Settings of ProtoCon; the papers' symbols in brackets. The defaults are the paper's form; recipes set its figures.

    Attributes:
        name: of the method.
        num_clusters: clusters of each head [K]; null takes one head of N / instances_per_cluster.
        instances_per_cluster: wanted size of a cluster [n].
        assignment: `constrained` by learned prices, `sinkhorn` by a balanced plan of each batch (SwAV), `none`: nearest center.
        min_size_ratio: a cluster's minimum share of the rows times K [gamma / n]; null takes 0.9 where the assignment is
            constrained.
        max_size_ratio: a cluster's maximum likewise, 1 or more; null for none.
        dual_lr: step size of the duals [lambda]; null takes `default_dual_lr`.
        sinkhorn_epsilon: weight of the plan's entropy [epsilon].
        sinkhorn_iterations: of the plan.
        sinkhorn_queue: rows of past batches in the plan; null takes what makes 4/3 rows a cluster with the batch, 0 for none.
        dim: size of the embeddings [D].
        temperature: of prototypes and consistency [T].
        refine_weight: share of the classifier in a pseudo-label, the rest is its cluster's [alpha]; 1 for no refinement.
        refine_from: first epoch whose pseudo-labels are refined, 1 or later: the epochs before it are the warm-up.
        confidence: rule that says how much a pseudo-label counts: a `fixed` threshold (paper), `flexmatch`, `freematch`,
            `softmatch`, or `adamatch`.
        confidence_threshold: least probability of a pseudo-label that is trained on [tau]; of `flexmatch` that of a class that is
            learned, of `adamatch` relative to the confidence in labelled rows; `freematch` and `softmatch` have none.
        mean_momentum: of the running means of `confidence`, of fairness, of alignment by `ema`, and of `predicted` shares [a].
        alignment: `window` (distribution alignment), `ema` (the same by a running mean), `debias`, `label_shift` (the shares of
            the classes are estimated, and labelled rows teach them), or `none`.
        class_shares: what alignment draws the classes to: `equal` shares (paper), those of the `labels`, those `predicted` for
            labelled rows, or `estimated` from the guesses themselves.
        share_power: of the guesses' mean in `estimated` shares and in those of `label_shift`; 0 makes them equal, 1 leaves the
            guesses as they are.
        aligned_targets: train on aligned guesses; false for an alignment that only says how much they count.
        debias_weight: strength of `debias`.
        debias_momentum: of its running mean.
        targets: train on `soft` pseudo-labels, or on their `hard` class.
        vote: how members make their cluster's label: by `similarity` (paper), `count`, or `score` (the recorded reference).
        priced_scores: add a cluster's dual to its members' similarity (the recorded reference).
        unlabelled_weight: of the loss on reliable pseudo-labels [lambda_u].
        fairness_weight: of FreeMatch's fairness of classes [lambda_e].
        prototype_weight: of the prototypical loss [lambda_p].
        consistency_weight: of the self-supervised loss [lambda_c].
        consistency_rows: rows of the self-supervised loss: `all`, or the `unreliable` (the recorded reference).
        ema_momentum: of the averaged weights that are scored beside the trained ones; reached gradually.
    """

    usual_ratio: ClassVar[float] = 0.9
    idle: ClassVar[tuple[Idle, ...]] = (
        IDLE_DUAL_LR,
        Idle(("instances_per_cluster",), {"num_clusters": one_of(None)}, "set num_clusters to null"),
        Idle(("refine_from", "vote", "priced_scores"), {"refine_weight": other_than(1)}, "give the clusters a share"),
        Idle(("priced_scores",), {"vote": other_than("count")}, "set vote to similarity or score"),
        Idle(("confidence_threshold",), {"confidence": one_of("fixed", "flexmatch", "adamatch")}, "choose a rule that has one"),
        Idle(
            ("mean_momentum",),
            {
                "confidence": one_of("freematch", "softmatch"), "alignment": one_of("ema"), "class_shares": one_of("predicted"),
                "fairness_weight": bool,
            },
            "choose what keeps a running mean",
        ),
        Idle(("share_power",), {"class_shares": one_of("estimated"), "alignment": one_of("label_shift")}, "estimate shares"),
        Idle(("aligned_targets",), {"alignment": one_of("window", "ema", "debias")}, "choose an alignment of the guesses"),
        Idle(("debias_weight", "debias_momentum"), {"alignment": one_of("debias")}, "set alignment to debias"),
        Idle(("temperature",), {"prototype_weight": bool, "consistency_weight": bool}, "give one of these losses a weight"),
        Idle(("consistency_rows",), {"consistency_weight": bool}, "give the loss a weight"),
    )  # fmt: skip
    stages: ClassVar[dict[str, tuple[int, str]]] = {"refine_from": (1, "clusters refine a pseudo-label")}

    name: Literal["protocon"] = "protocon"
    num_clusters: list[int] | None = None
    instances_per_cluster: int = 250
    assignment: Assignment = "constrained"
    min_size_ratio: float | None = None
    max_size_ratio: float | None = None
    dual_lr: float | None = None
    sinkhorn_epsilon: float = EPSILON
    sinkhorn_iterations: int = ITERATIONS
    sinkhorn_queue: int | None = None
    dim: int = 128
    temperature: float = 0.1
    refine_weight: float = 0.8
    refine_from: int = 1
    confidence: Confidence = "fixed"
    confidence_threshold: float = 0.95
    mean_momentum: float = 0.999
    alignment: Alignment = "window"
    class_shares: Shares = "equal"
    share_power: float = 0.5
    aligned_targets: bool = True
    debias_weight: float = 0.5
    debias_momentum: float = 0.999
    targets: Literal["soft", "hard"] = "soft"
    vote: Vote = "similarity"
    priced_scores: bool = False
    unlabelled_weight: float = 1.0
    fairness_weight: float = 0.0
    prototype_weight: float = 1.0
    consistency_weight: float = 1.0
    consistency_rows: Literal["all", "unreliable"] = "all"
    ema_momentum: float = 0.999

    def __post_init__(self) -> None:
        """Refuse values outside their range, naming the key."""
        require_assignment(self)
        require_shares(self, "refine_weight", "debias_momentum", "mean_momentum", "share_power", "ema_momentum", part="method")
        require_positive(self, "instances_per_cluster", "dim", "temperature", "refine_from", part="method")
        weights = "debias_weight", "unlabelled_weight", "fairness_weight", "prototype_weight", "consistency_weight"
        require_not_negative(self, *weights, part="method")
        if not 0 < self.confidence_threshold <= 1:
            raise ValueError(f"method.confidence_threshold is {self.confidence_threshold}; it must lie in (0, 1]")
        if self.num_clusters is not None and (not self.num_clusters or min(self.num_clusters) < 2):
            raise ValueError(f"method.num_clusters is {self.num_clusters}; give heads of 2 clusters or more, or null")
        self._check_alignment()

    def _check_alignment(self) -> None:
        if self.class_shares != "equal" and self.alignment not in ("window", "ema"):
            raise ValueError(
                f"method.class_shares is {self.class_shares}, but method.alignment {self.alignment} draws the classes to no "
                "shares; set alignment to window or ema, or class_shares to equal"
            )
        if not self.aligned_targets and self.alignment == "debias":
            raise ValueError(
                "method.aligned_targets is false, but method.alignment debias corrects the strong views for aligned targets; set "
                "alignment to window or ema, or aligned_targets to true"
            )

    def clusters(self, num_instances: int) -> list[int]:
        """Clusters of each head for N instances.

        Raises:
            ValueError: when they are more than half the instances, or a head would have fewer than 2.
        """
        if self.num_clusters is None:
            if 2 * self.instances_per_cluster > num_instances:
                raise ValueError(
                    f"method.instances_per_cluster is {self.instances_per_cluster}, which makes fewer than 2 clusters of "
                    f"{num_instances} training images; lower it"
                )
            return [num_instances // self.instances_per_cluster]
        if 2 * max(self.num_clusters) > num_instances:
            raise ValueError(
                f"method.num_clusters asks for {max(self.num_clusters)} clusters of {num_instances} training images; "
                "a cluster's label needs members to vote: give at most half as many clusters"
            )
        return self.num_clusters

    @property
    def trains_projector(self) -> bool:
        """Whether any loss reaches the projector."""
        return self.prototype_weight > 0 or self.consistency_weight > 0
