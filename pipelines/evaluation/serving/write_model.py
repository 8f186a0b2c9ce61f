"""A checkpoint as a folder that MLflow loads: weights as safetensors, what they are of as JSON, and the code that reads both."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.errors import UserError
from pipelines.runs.provenance import ROOT
from pipelines.runs.trained_model import Trained
from pipelines.tracking.about.model_entry import ModelEntry

SHIPPED = (  # modules that the model's code needs, with those that they need
    "algos/__init__", "algos/check_ranges", "algos/idle_settings", "algos/networks", "algos/precision", "pipelines/__init__",
    "pipelines/errors", "pipelines/secrets", "pipelines/datasets/__init__", "pipelines/datasets/encoded_image",
    "pipelines/views/__init__", "pipelines/views/clear_pixels", "pipelines/views/coarse_picture", "pipelines/views/crops",
    "pipelines/views/decode", "pipelines/views/resample", "pipelines/views/shown_picture", "pipelines/views/view_config",
)  # fmt: skip
CODE = Path(__file__).with_name("image_model.py")
LIBRARIES = ("mlflow", "torch", "numpy", "pandas", "pillow", "pillow-heif", "safetensors", "simplejpeg", "cykooz-resizer")
LAYERS: dict[type[nn.Module], tuple[str, ...]] = {  # that a projector may have, with the attributes that make another such
    nn.Linear: ("in_features", "out_features"), nn.BatchNorm1d: ("num_features",), nn.ReLU: (), nn.LeakyReLU: ("negative_slope",),
}  # fmt: skip


def write_model(place: str, name: str, folder: Path) -> ModelEntry:
    """Write the model of a checkpoint to a folder of its name in `folder`, instead of what is there.

    Args:
        place: a run's folder or a checkpoint of it.
        name: of the model.
        folder: on this machine.

    Raises:
        UserError: for a method whose networks the model's code cannot build.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow.pyfunc

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import has set INFO
    trained, path = Trained.open(place), folder / name
    about, weights = _parts(trained)
    shutil.rmtree(path, ignore_errors=True)
    with TemporaryDirectory() as scratch:
        files = {"about": Path(scratch, "about.json"), "weights": Path(scratch, "weights.safetensors")}
        files["about"].write_text(json.dumps(about, indent=1))
        save_file(weights, files["weights"])
        mlflow.pyfunc.save_model(
            path, python_model=str(CODE), artifacts={key: str(file) for key, file in files.items()},
            code_paths=_shipped(Path(scratch, "code")), signature=_signature(about), input_example=_example(about["image_size"]),
            pip_requirements=_requirements(trained), metadata={key: about[key] for key in ("classes", "heads", "checkpoint")},
        )  # fmt: skip
    return ModelEntry(name, str(path), trained.entry.file, trained.entry.global_step)


def _parts(trained: Trained) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the model's code needs to know of the networks, and their weights."""
    method, view = trained.method(), trained.view
    kmeans, projector = getattr(method, "kmeans", None), dict(method.network.named_children()).get("projector")
    averaged = method.classifiers().get("accuracy_ema")
    if kmeans is None or not isinstance(projector, nn.Sequential) or any(type(layer) not in LAYERS for layer in projector):
        raise UserError(
            f"{trained.run.location} is by the method {type(method).__name__}, whose networks MLflow's model cannot build; "
            "set tracking.models none"
        )
    centers = kmeans.running_centers
    prices = kmeans.prices if kmeans.spherical else kmeans.prices - centers.square().sum(dim=1) / 2
    about = {
        "backbone": trained.backbone, "features": trained.features, "image_size": view.size, "resize_to": view.resize_to,
        "mean": list(view.mean), "std": list(view.std), "background": list(view.showing.background),
        "pixels": view.showing.version, "precision": trained.precision, "heads": list(kmeans.num_clusters),
        "dim": centers.shape[1], "projector": [_layer(layer) for layer in projector],
        "classes": trained.selection.classes if averaged is not None and trained.selection else [],
        "checkpoint": trained.entry.file, "data": trained.run.identity["data"],
    }  # fmt: skip
    weights = {"centers": centers, "prices": prices}
    weights |= _below("backbone", method.backbone) | _below("projector", projector)
    if about["classes"] and averaged is not None:
        weights |= _below("class_backbone", averaged.get_submodule("backbone"))
        weights |= _below("classifier", averaged.get_submodule("classifier"))
    return about, {key: tensor.detach().clone().contiguous() for key, tensor in weights.items()}


def _below(name: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}


def _layer(layer: nn.Module) -> dict[str, Any]:
    arguments = {key: getattr(layer, key) for key in LAYERS[type(layer)]}
    with_bias = {"bias": layer.bias is not None} if isinstance(layer, nn.Linear) else {}
    return {"name": type(layer).__name__, "arguments": arguments | with_bias}


def _shipped(folder: Path) -> list[str]:
    """Folders that hold a copy of the modules."""
    for module in SHIPPED:
        copy = folder / f"{module}.py"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / f"{module}.py", copy)
    return [str(path) for path in sorted(folder.iterdir())]


def _requirements(trained: Trained) -> list[str]:
    """What the code needs, in the versions that are here; without Ray, and without suffixes of builds that no index has."""
    library, _, _ = trained.backbone["name"].rpartition("/")
    own = [] if trained.backbone["name"].startswith("wrn-") else ["torchvision", *(["timm"] if library else [])]
    found = {name: _version(name) for name in (*LIBRARIES, *own)}
    return [f"{name}=={number}" for name, number in found.items() if number]


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:  # of a library that there is for some processors only
        return ""


def _signature(about: dict[str, Any]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    columns = [ColSpec(Array(DataType.float), "embedding"), ColSpec(Array(DataType.long), "clusters")]
    if about["classes"]:
        columns += [ColSpec(Array(DataType.float), "probabilities"), ColSpec(DataType.string, "class")]
    return ModelSignature(Schema([ColSpec(DataType.binary, "image")]), Schema(columns))


def _example(size: int) -> pd.DataFrame:
    """One encoded picture that is nobody's: shades of red, green and blue."""
    ramp = np.linspace(0, 255, max(size, 16)).astype(np.uint8)
    red, green = np.meshgrid(ramp, ramp)
    with io.BytesIO() as file:
        Image.fromarray(np.stack([red, green, 255 - red], axis=2)).save(file, "PNG")
        return pd.DataFrame({"image": [file.getvalue()]})
