"""`quorum export`: a backbone that torchvision or timm loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from algos.networks import SMALL_IMAGE
from pipelines.errors import UserError
from pipelines.trained import Trained


def export(place: str, to: str) -> str:
    """Write the backbone of a run or checkpoint as safetensors; returns a line that says how to load it.

    Keys are the foreign library's own, without a classifier. The file's metadata holds the architecture, image size and
    normalisation.

    Raises:
        UserError: for a file name without `.safetensors`.
    """
    path = Path(to).expanduser()
    if path.suffix != ".safetensors":
        raise UserError(f"--to is {to!r}; the export is a safetensors file, so name it ....safetensors")
    trained = Trained.open(place)
    backbone, config = trained.method().backbone, trained.config
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "backbone": json.dumps(asdict(config.backbone)),
        "image_size": str(config.image_size),
        "normalization": json.dumps(asdict(config.data.normalization)),
        "checkpoint": trained.entry.file,
    }
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}, partial, metadata=metadata)
    partial.replace(path)
    return f"{path}: {_loading(trained)}"


def _loading(trained: Trained) -> str:
    backbone = trained.config.backbone
    library, _, name = backbone.name.rpartition("/")
    small = backbone.stem == "small" or (backbone.stem == "auto" and trained.config.image_size <= SMALL_IMAGE)
    if small or name.startswith("wrn"):
        return "its first convolution is the small stem's: algos.networks.build_backbone with the file's metadata loads it"
    options = "".join(f", {key}={value!r}" for key, value in backbone.options.items())
    timm_call = f"timm.create_model({name!r}, num_classes=0{options})"
    return f"{timm_call} loads it" if library else f"torchvision's {name} with fc = Identity() loads it, and {timm_call}"
