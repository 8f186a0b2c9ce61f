"""What a method says of itself to those who configure, check and build it; free of torch until something is built.

A method is one folder of this package. Its module `spec` holds a `SPEC` of this shape: by it `algos.methods.registry` finds the
method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn

    from algos.distributed.nodes import Node
    from algos.methods.method import Method


class MethodConfig(Protocol):
    """Settings of a method: a dataclass whose every field has a default, and that refuses impossible values by `ValueError`."""

    @property
    def name(self) -> str:
        """Of the method, as its spec and its folder have it."""


@dataclass(frozen=True)
class TrainingSetup:
    """What a method is checked against and built for.

    Attributes:
        rows: images that are trained on.
        num_instances: N; instance ids lie in 0..N-1.
        batch_size: rows of a global batch, labelled ones not counted.
        large_views: large views of an image.
        small_views: small crops of an image.
        num_classes: C of the labelled rows; 0 where there are none.
        label_counts: labelled rows of each of the C.
        seed: of the initial centers.
        node: of this worker; `None` where it shares none.
    """

    rows: int
    num_instances: int
    batch_size: int
    large_views: int
    small_views: int = 0
    num_classes: int = 0
    label_counts: tuple[int, ...] = ()
    seed: int = 0
    node: Node | None = None

    @property
    def unlabelled_classes(self) -> tuple[int, ...]:
        """Those of the classes that no labelled row has."""
        return tuple(label for label, count in enumerate(self.label_counts) if not count)


class MethodSpec(Protocol):
    """How a method is configured, checked and built.

    Attributes:
        name: of its folder, and `method.name` in recipes.
        command: of the command line that trains it.
        config_type: its `MethodConfig`.
        takes_labels: whether a step brings labelled rows, and training makes classifiers.
    """

    name: str
    command: str
    config_type: type[Any]
    takes_labels: bool

    def check(self, config: Any, setup: TrainingSetup) -> None:
        """Refuse what cannot work together.

        Raises:
            ValueError: naming the key and what to change.
        """

    def clusters(self, config: Any, num_instances: int) -> list[int]:
        """Clusters of each head for N instances.

        Raises:
            ValueError: when the settings make none for so few.
        """

    def build(self, config: Any, backbone: nn.Module, setup: TrainingSetup) -> Method:
        """The method over `backbone`, which maps images to features and carries `num_features`."""
