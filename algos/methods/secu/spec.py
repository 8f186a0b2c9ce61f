"""How SeCu is configured, checked and built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algos.methods.secu.config import SeCuConfig
from algos.methods.spec import MethodSpec, TrainingSetup

if TYPE_CHECKING:
    from torch import nn

    from algos.methods.secu.method import SeCu


class SeCuSpec:
    """See `algos.methods.spec.MethodSpec`."""

    name = "secu"
    command = "pretrain"
    config_type = SeCuConfig
    takes_labels = False

    def check(self, config: SeCuConfig, setup: TrainingSetup) -> None:
        """Refuse what cannot work with these data and views.

        Raises:
            ValueError: more clusters than images, or other views than two large ones.
        """
        if max(config.num_clusters) > setup.rows:
            raise ValueError(
                f"method.num_clusters asks for {max(config.num_clusters)} clusters, but the shards hold {setup.rows} "
                "training images; every cluster needs at least one"
            )
        if setup.large_views != 2 or setup.small_views:
            raise ValueError("secu learns from exactly two large views; set views.large to 2 and views.small to none")

    def clusters(self, config: SeCuConfig, num_instances: int) -> list[int]:
        """Clusters of each head, however many instances there are."""
        return list(config.num_clusters)

    def build(self, config: SeCuConfig, backbone: nn.Module, setup: TrainingSetup) -> SeCu:
        """SeCu over `backbone`."""
        from algos.methods.secu.method import SeCu

        return SeCu(
            config, backbone, num_instances=setup.num_instances, batch_size=setup.batch_size, seed=setup.seed, node=setup.node
        )


SPEC: MethodSpec = SeCuSpec()
