"""Weights of another's file, matched to a network: the one place in the file where all of the network's keys stand.

Files hold a network in many ways: alone, beside optimisers, below `state_dict`, with every key below `module.`, or twice, as it
is and averaged. What counts is that below one prefix of one mapping the keys are exactly the network's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

DEPTH = 4  # of mappings in each other
SHOWN = 3  # keys that a sentence names
ANOTHER = "give weights of exactly this network"
COUNTER = "num_batches_tracked"
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Words in the place of the one to take where a file has the network twice: DINO's averaged one, timm's, and MoCo's learner.
PASSED_ON = ("teacher", "ema", "encoder_q")


class MismatchError(ValueError):
    """Weights that are not the network's.

    Args:
        message: what differs.
        keys: of all that does.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


@dataclass(frozen=True)
class Matched:
    """The weights of a network, and where they stood.

    Attributes:
        tensors: by the network's keys, of its shapes and types.
        place: where the keys stood, as `teacher/backbone.`; empty for a file that holds nothing else.
        instead_of: other places that have the same keys.
        beside: keys of the same mapping that are not below that place.
        classifier: keys of the classifier, which the network goes without.
        rounded: keys of tensors that have more digits in the file than the network takes.
    """

    tensors: dict[str, Tensor]
    place: str
    instead_of: list[str]
    beside: list[str]
    classifier: list[str]
    rounded: list[str]


@dataclass
class _Place:
    """A mapping of tensors in a file, and a prefix of some of its keys."""

    path: str
    prefix: str
    mapping: Mapping[str, Tensor]
    below: dict[str, Tensor]
    missing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unlike: dict[str, str] = field(default_factory=dict)
    classifier: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.path}{self.prefix}"

    @property
    def differing(self) -> list[str]:
        return [*self.missing, *self.left, *self.unlike]


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """What the library calls the classifier of its own network, which `build_backbone` leaves out; timm says it of each model."""
    named = getattr(network, "pretrained_cfg", {}).get("classifier") or "fc"
    return (named,) if isinstance(named, str) else tuple(named)


def match_weights(content: Mapping[Any, Any], network: nn.Module) -> Matched:
    """The weights of `network` in what a file holds: mappings of tensors by name, in each other or alone.

    Keys have to be exactly the network's, but its classifier may be there, and counters of batches may be absent as in old files:
    nothing is computed from them. Beside the place where the keys stand there may be other keys.

    Args:
        content: of the file.
        network: without a classifier; its tensors may be on the meta device.

    Raises:
        MismatchError: naming what is missing, left over, of another shape or no weight, or the places where all keys stand.
    """
    wanted = network.state_dict()
    places = [place for path, mapping in _mappings(content) for place in _places(path, mapping, wanted)]
    if not places:
        raise MismatchError(_nothing_alike(content, wanted))
    for place in places:
        _compare(place, wanted, classifier_names(network))
    whole = [place for place in places if not place.differing]
    if not whole:
        # The one with most in common, and of those the one that most of its mapping is below.
        nearest = max(places, key=lambda place: (len(place.below.keys() & wanted.keys()), -len(place.differing)))
        raise MismatchError(_difference(nearest, wanted), nearest.differing)
    found = _chosen(whole)
    tensors = {name: _own_copy(found.below.get(name), tensor) for name, tensor in wanted.items()}
    _check_finite(tensors)
    beside = [key for key in found.mapping if not key.startswith(found.prefix)]
    rounded = [name for name, tensor in tensors.items() if name in found.below and _is_rounded(found.below[name], tensor)]
    others = [place.name for place in whole if place is not found]
    return Matched(tensors, found.name, others, beside, sorted(found.classifier), rounded)


def _mappings(content: Mapping[Any, Any]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """The mappings that hold tensors, with their paths, as `teacher/`; each once, whatever refers to it."""
    seen, level = {id(content)}, [("", content)]
    for _ in range(DEPTH):
        below = []
        for path, mapping in level:
            tensors = {key: value for key, value in mapping.items() if isinstance(key, str) and isinstance(value, Tensor)}
            if tensors:
                yield path, tensors
            for key, value in mapping.items():
                if isinstance(value, Mapping) and id(value) not in seen:
                    seen.add(id(value))
                    below.append((f"{path}{key}/", value))
        level = below


def _places(path: str, mapping: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[_Place]:
    """The prefixes below which a mapping has most of the network's keys."""
    votes = Counter(
        key[:start] for key in mapping for start in (0, *(dot.end() for dot in re.finditer(r"\.", key))) if key[start:] in wanted
    )
    most = max(votes.values(), default=0)
    return [
        _Place(path, prefix, mapping, {key[len(prefix) :]: value for key, value in mapping.items() if key.startswith(prefix)})
        for prefix, count in votes.items() if 2 * count > most
    ]  # fmt: skip


def _compare(place: _Place, wanted: Mapping[str, Tensor], classifiers: Sequence[str]) -> None:
    below = place.below
    place.missing = [name for name in wanted if name not in below and not name.endswith(COUNTER)]
    for name in below.keys() - wanted.keys():
        named = place.classifier if name.startswith(tuple(f"{one}." for one in classifiers)) else place.left
        named.append(name)
    place.left.sort()
    place.unlike = {
        name: said for name, tensor in wanted.items() if name in below and (said := _unlike(name, below[name], tensor))
    }


def _unlike(name: str, found: Tensor, wanted: Tensor) -> str:
    """How a tensor differs from the network's in kind; empty for one that does not."""
    if found.shape != wanted.shape:
        return f"is {_shape(found)} in the file and {_shape(wanted)} in the network"
    if found.layout != torch.strided or found.is_meta or found.is_quantized:
        return "is quantised, sparse or without values in the file"
    kinds = (FLOATING if wanted.is_floating_point() or name.endswith(COUNTER) else ()) + (wanted.dtype,)
    return "" if found.dtype in kinds else f"holds {str(found.dtype).removeprefix('torch.')}, which no weight is"


def _is_rounded(found: Tensor, wanted: Tensor) -> bool:
    return found.is_floating_point() and found.dtype.itemsize > wanted.dtype.itemsize


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _chosen(whole: list[_Place]) -> _Place:
    """Of several places with all keys the one that is usually passed on."""
    if len(whole) == 1:
        return whole[0]
    for word in PASSED_ON:
        named = [place for place in whole if re.search(rf"(?<![a-z]){word}(?![a-z])", place.name)]
        if len(named) == 1:
            return named[0]
    names = ", ".join(place.name or "the top" for place in whole)
    raise MismatchError(f"it has the network {len(whole)} times, at {names}; save the one that is meant alone")


def _own_copy(found: Tensor | None, wanted: Tensor) -> Tensor:
    """A tensor of the network's type in memory of its own, whatever the file has it as a part of; a counter starts at 0."""
    if found is None:
        return torch.zeros(wanted.shape, dtype=wanted.dtype)
    return found.detach().to(wanted.dtype).clone(memory_format=torch.contiguous_format)


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        raise MismatchError(f"it holds NaN or infinity ({named(bad)}); give weights of finite numbers", bad)


def _nothing_alike(content: Mapping[Any, Any], wanted: Mapping[str, Tensor]) -> str:
    keys = [f"{path}{key}" for path, mapping in _mappings(content) for key in mapping]
    holds = f"none of its {len(keys)} tensors ({named(keys)})" if keys else "it holds no tensors by name, so none"
    return f"{holds} is called like one of the network's {len(wanted)} ({named(list(wanted))}); {ANOTHER}"


def _difference(place: _Place, wanted: Mapping[str, Tensor]) -> str:
    below = f" below {place.name}" if place.name else ""
    parts = []
    if place.missing:
        parts.append(f"{len(place.missing)} of the network's {len(wanted)} tensors are not in it{below} ({named(place.missing)})")
    if place.left:
        parts.append(f"{len(place.left)} in it{below} are none of the network's ({named(place.left)})")
    if place.unlike:
        said = [f"{name} {how}" for name, how in place.unlike.items()]
        parts.append(f"{len(said)} differ ({named(said)})" if len(said) > 1 else said[0])
    return "; ".join([*parts, ANOTHER])


def named(keys: Sequence[str]) -> str:
    """The first few of some keys, and how many more there are."""
    more = f" and {len(keys) - SHOWN:,} more" if len(keys) > SHOWN else ""
    return f"{', '.join(keys[:SHOWN])}{more}"
