"""The weights that a run's backbone starts from, and the copy of them in the run's folder.

The copy is what workers on every node, a resume and `evaluate --untrained` read: what it was made of may be on one machine only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import safetensors.torch
from torch import Tensor, nn

from algos.matching_weights import Matched, MismatchError, match_weights, named
from algos.networks import has_small_stem
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import INITIAL_FILE
from pipelines.runs.weight_files import WeightFile, read_weight_file

DIGEST = "digest"


@dataclass(frozen=True)
class InitialWeights:
    """Weights of a backbone by its own keys, whole.

    Attributes:
        tensors: of its shapes and types, on the host.
        source: what they were found by: a checkpoint, a file, or timm's full name.
        said: what the user should know of where they stood.
        pixels: mean and standard deviation of each channel that they expect, where that is known.
    """

    tensors: dict[str, Tensor]
    source: str
    said: list[str] = field(default_factory=list)
    pixels: tuple[Sequence[float], Sequence[float]] | None = None

    @property
    def digest(self) -> str:
        """Of names and values, whatever file they came in."""
        return hashlib.sha256(_in_bytes(self.tensors)).hexdigest()[:16]

    def keep(self, run: Location) -> None:
        """Copy them into a run's folder."""
        (run.make() / INITIAL_FILE).write_bytes(_in_bytes(self.tensors, {DIGEST: self.digest}))

    @classmethod
    def kept(cls, run: Location) -> InitialWeights | None:
        """What a run's folder keeps; `None` where it keeps none, as of runs that start from random weights, or from a run by 0.1.

        Raises:
            UserError: for a file that is damaged.
        """
        place = run / INITIAL_FILE
        if not place.exists():
            return None
        file = read_weight_file(str(place))
        found = cls(dict(file.content), str(place))
        if file.metadata.get(DIGEST) != found.digest:
            raise UserError(f"{place} was edited or is damaged: its digest is not that of its tensors; restore it")
        return found


def _in_bytes(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def weights_of_file(place: str, network: nn.Module, about: str) -> InitialWeights:
    """The weights of `network` in a file.

    Args:
        place: of the file, a path or URI.
        network: without a classifier.
        about: what the network is, in a sentence that refuses.

    Raises:
        UserError: for a file that cannot be read, or of other weights.
    """
    file = read_weight_file(place)
    matched = fitted(file, network, f"init_from {place}", about)
    return InitialWeights(matched.tensors, str(Location.of(place)), _told(matched), _pixels(file))


def fitted(file: WeightFile, network: nn.Module, source: str, about: str) -> Matched:
    """What a file has of a network.

    Raises:
        UserError: naming what differs.
    """
    try:
        return match_weights(file.content, network)
    except MismatchError as error:
        if has_small_stem(network) and error.keys and all(key.startswith("conv1.") for key in error.keys):
            raise UserError(
                f"{source} has the library's own first convolution, and the recipe's {about} the small stem that images of up to "
                f"64 px get: {error}, or set --backbone.stem imagenet"
            ) from error
        made_from = f", which was exported from {file.metadata['backbone']}," if "backbone" in file.metadata else ""
        raise UserError(f"{source}{made_from} does not fit the recipe's {about}: {error}") from error


def _told(matched: Matched) -> list[str]:
    """What was chosen, left out or rounded."""
    told, place = [], matched.place
    if matched.instead_of:
        told.append(f"it has the backbone at {named([place, *matched.instead_of])}; taken are the weights at {place}")
    if matched.beside:
        told.append(f"left out is what stands beside {place}: {len(matched.beside)} of its tensors ({named(matched.beside)})")
    if matched.classifier:
        told.append(f"left out is its classifier ({named(matched.classifier)})")
    if matched.rounded:
        told.append(f"rounded to float32 are {len(matched.rounded)} of its tensors ({named(matched.rounded)})")
    return told


def _pixels(file: WeightFile) -> tuple[Sequence[float], Sequence[float]] | None:
    """What `quorum export` wrote of the normalisation."""
    try:
        found = json.loads(file.metadata["normalization"])
        return [float(part) for part in found["mean"]], [float(part) for part in found["std"]]
    except (KeyError, TypeError, ValueError):  # a file of others, which may call something of its own so
        return None
