"""Files of weights that other programs wrote, or `quorum export`: safetensors and torch's state dicts. No code in them is run."""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from pipelines.errors import UserError
from pipelines.files.location import Location

SUFFIXES = (".safetensors", ".pt", ".pth", ".pth.tar", ".bin")
# Only holds values by name; checkpoints that keep the options of their training hold one.
HARMLESS: list[Any] = [argparse.Namespace]


@dataclass(frozen=True)
class WeightFile:
    """What a file holds: tensors by name, in mappings that may be in each other, and of safetensors its metadata."""

    content: Mapping[Any, Any]
    metadata: Mapping[str, str]


def is_weight_file(place: str) -> bool:
    """Whether a path or URI ends as a file of weights does."""
    return Location.of(place).name.lower().endswith(SUFFIXES)


def read_weight_file(place: str) -> WeightFile:
    """The tensors in a file, on the host.

    Raises:
        UserError: for a file that is not there, empty, damaged, or needs more than tensors and plain values.
        OSError: when its storage refuses.
    """
    location = Location.of(place)
    if not location.exists():
        raise UserError(f"{place} is not there; give a file of weights that is")
    if location.is_dir():
        raise UserError(f"{place} is a folder; give the file of weights in it")
    content = location.read_bytes()
    if not content:
        raise UserError(f"{place} is empty; fetch it again")
    if location.name.lower().endswith(".safetensors") or _is_safetensors(content):
        return _read_safetensors(place, content)
    return _read_torch(place, content)


def _is_safetensors(content: bytes) -> bool:
    return content[8:9] == b"{" and 8 + int.from_bytes(content[:8], "little") <= len(content)


def _read_safetensors(place: str, content: bytes) -> WeightFile:
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{place} is no whole safetensors file ({_said(error)}); fetch it again") from error
    return WeightFile(tensors, header.get("__metadata__") or {})


def _read_torch(place: str, content: bytes) -> WeightFile:
    try:
        with torch.serialization.safe_globals(HARMLESS):
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes may bring the reader to raise anything
        raise UserError(_refusal(place, str(error))) from error
    if not isinstance(found, Mapping):
        raise UserError(f"{place} holds a {type(found).__name__}, no tensors by name; save the network's state_dict() to a file")
    return WeightFile(found, {})


def _refusal(place: str, said: str) -> str:
    """Why torch did not read a file."""
    save_anew = "if you trust it, load it where it was made and save its state_dict() alone"
    if "TorchScript" in said:
        return f"{place} is a TorchScript program, which holds code; {save_anew}"
    if unsafe := re.search(r"GLOBAL ([\w.]+)", said):
        return f"{place} needs {unsafe[1]} besides tensors, and only tensors and plain values are read; {save_anew}"
    return f"{place} is damaged, or no file of a torch state dict; fetch it again"


def _said(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0]
