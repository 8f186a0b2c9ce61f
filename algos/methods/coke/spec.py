"""How CoKe is configured, checked and built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algos.methods.coke.config import CoKeConfig
from algos.methods.spec import MethodSpec, TrainingSetup

if TYPE_CHECKING:
    from torch import nn

    from algos.methods.coke.method import CoKe


class CoKeSpec:
    """See `algos.methods.spec.MethodSpec`."""

    name = "coke"
    command = "pretrain"
    config_type = CoKeConfig
    takes_labels = False

    def check(self, config: CoKeConfig, setup: TrainingSetup) -> None:
        """Refuse what cannot work with these data and views.

        Raises:
            ValueError: more clusters than images, a second view's share with one view, or a second stage with two views.
        """
        if max(config.num_clusters) > setup.rows:
            raise ValueError(
                f"method.num_clusters asks for {max(config.num_clusters)} clusters, but the shards hold {setup.rows} "
                "training images; every cluster needs at least one"
            )
        if setup.large_views == 1 and config.label_weight < 1:
            raise ValueError(
                f"method.label_weight is {config.label_weight}, which leaves a share for a second view, but views.large is 1; "
                "set label_weight to 1 or views.large to 2"
            )
        if setup.large_views > 1 and config.average_from is not None:
            raise ValueError(
                "method.average_from (the second stage) needs one view; set views.large to 1 or average_from to null"
            )

    def clusters(self, config: CoKeConfig, num_instances: int) -> list[int]:
        """Clusters of each head, however many instances there are."""
        return list(config.num_clusters)

    def build(self, config: CoKeConfig, backbone: nn.Module, setup: TrainingSetup) -> CoKe:
        """CoKe over `backbone`."""
        from algos.methods.coke.method import CoKe

        return CoKe(
            config, backbone, num_instances=setup.num_instances, batch_size=setup.batch_size, seed=setup.seed, node=setup.node
        )


SPEC: MethodSpec = CoKeSpec()
