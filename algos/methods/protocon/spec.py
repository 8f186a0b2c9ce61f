"""How ProtoCon is configured, checked and built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algos.methods.protocon.config import ProtoConConfig
from algos.methods.spec import MethodSpec, TrainingSetup

if TYPE_CHECKING:
    from torch import nn

    from algos.methods.protocon.method import ProtoCon


class ProtoConSpec:
    """See `algos.methods.spec.MethodSpec`."""

    name = "protocon"
    command = "semisup"
    config_type = ProtoConConfig
    takes_labels = True

    def check(self, config: ProtoConConfig, setup: TrainingSetup) -> None:
        """Refuse what cannot work with these data and views.

        Raises:
            ValueError: more clusters than half the instances, or other views than a weak and a strong one.
        """
        if setup.large_views != 2 or setup.small_views:
            raise ValueError("views needs exactly two large rules here, the weak view and the strong one, and no small crops")
        config.clusters(setup.num_instances)

    def clusters(self, config: ProtoConConfig, num_instances: int) -> list[int]:
        """Clusters of each head for N instances."""
        return config.clusters(num_instances)

    def build(self, config: ProtoConConfig, backbone: nn.Module, setup: TrainingSetup) -> ProtoCon:
        """ProtoCon over `backbone`."""
        from algos.methods.protocon.method import ProtoCon

        return ProtoCon(
            config, backbone, num_classes=setup.num_classes, num_instances=setup.num_instances,
            batch_size=setup.batch_size, seed=setup.seed, unlabelled_classes=setup.unlabelled_classes,
            label_counts=setup.label_counts, num_rows=setup.rows, node=setup.node,
        )  # fmt: skip


SPEC: MethodSpec = ProtoConSpec()
