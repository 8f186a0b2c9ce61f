"""A cache of the Hugging Face hub as a download leaves it, with weights drawn at random: there is no network in tests."""

from __future__ import annotations

import json
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import nn

REVISION = "1234567890123456789012345678901234567890"


def put_into_cache(cache: Path, name: str) -> nn.Module:
    """Weights `MODEL.TAG` of timm's, and the network that has them, with its classifier."""
    torch.manual_seed(len(name))
    network: nn.Module = timm.create_model(name, pretrained=False)
    for buffer_name, buffer in network.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.uniform_(-0.1, 0.1)
        elif buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    folder = cache / f"models--timm--{name}"
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)
    save_file(network.state_dict(), snapshot / "model.safetensors")
    (snapshot / "config.json").write_text(json.dumps({"architecture": name.partition(".")[0], "num_classes": 1000}))
    return network.eval()
