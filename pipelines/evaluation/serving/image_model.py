"""A model of MLflow: encoded images in; embeddings, clusters and, of a method with classes, class probabilities out.

MLflow keeps this file as the model's code and runs it when the model is loaded. It needs what lies in the model's folder `code`,
and neither Ray nor an installed quorum.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from safetensors.torch import load_file
from torch import Tensor, nn

from algos.networks import build_backbone
from algos.precision import Precision, in_fp32
from pipelines.views.crops import center_crop
from pipelines.views.shown_picture import Showing

BATCH = 256  # images that go through the network at a time
FILE = str | bytes | bytearray | memoryview | np.void  # what may hold an encoded image
URL_SAFE = bytes.maketrans(b"+/", b"-_")
BASE64 = re.compile(rb"(?:data:[^,]*;base64,)?([A-Za-z0-9+/_\r\n-]{16,}={0,2})\s*")  # which no format of images looks like


class ServedNetwork(nn.Module):
    """The networks and centers of a method, by the names that `write_model` gives their weights.

    Args:
        about: what `write_model` says of them.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        super().__init__()
        build = {**about["backbone"], "image_size": about["image_size"]}
        self.heads = about["heads"]
        self.backbone = build_backbone(**build)
        self.projector = nn.Sequential(*(getattr(nn, layer["name"])(**layer["arguments"]) for layer in about["projector"]))
        self.register_buffer("centers", torch.empty(sum(self.heads), about["dim"]))
        self.register_buffer("prices", torch.empty(sum(self.heads)))
        self.class_backbone = build_backbone(**build) if about["classes"] else None
        self.classifier = nn.Linear(about["features"], len(about["classes"])) if about["classes"] else None

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Columns of normalised images (B, 3, S, S): `embedding` (B, F), `clusters` (B, H), perhaps `probabilities` (B, C)."""
        features = self.backbone(pixels)
        found = {"embedding": features.float(), "clusters": in_fp32(self._clusters, features)}
        if self.class_backbone is not None and self.classifier is not None:
            found["probabilities"] = self.classifier(self.class_backbone(pixels)).float().softmax(dim=1)
        return found

    def _clusters(self, features: Tensor) -> Tensor:
        embeddings = F.normalize(self.projector(features), dim=1)
        similarities = torch.addmm(self.get_buffer("prices"), embeddings, self.get_buffer("centers").T)
        return torch.stack([head.argmax(dim=1) for head in similarities.split(self.heads, dim=1)], dim=1)


class ImageModel(PythonModel):
    """See the module."""

    def load_context(self, context: Any) -> None:
        """Build the networks from the files that were logged with the model."""
        self.about = json.loads(Path(context.artifacts["about"]).read_text())
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = ServedNetwork(self.about)
        self.network.load_state_dict(load_file(context.artifacts["weights"]))
        self.network.to(self.device).eval()
        self.precision = Precision(self.about["precision"], self.device)

    @torch.no_grad()
    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row an image of the column `image`, which holds encoded ones: JPEG, PNG, WebP and others, also as base64.

        Raises:
            MlflowException: naming the row, for an image that cannot be decoded.
        """
        starts = range(0, len(model_input), BATCH) or (0,)  # no images have all columns too
        parts = [self._embed(model_input["image"].iloc[start : start + BATCH]) for start in starts]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        columns = {name: list(values) for name, values in found.items()}
        if "probabilities" in found:
            columns["class"] = [self.about["classes"][best] for best in found["probabilities"].argmax(axis=1)]
        return pd.DataFrame(columns, model_input.index, dtype=object)

    def _embed(self, images: pd.Series) -> dict[str, np.ndarray]:
        size, showing = self.about["image_size"], Showing(tuple(self.about["background"]), self.about["pixels"])
        views = np.empty((len(images), size, size, 3), np.uint8)
        for view, (row, image) in zip(views, images.items(), strict=True):
            if not isinstance(image, FILE):
                raise MlflowException.invalid_parameter_value(
                    f"the image of row {row} is {_kind(image)}; give the bytes of its file"
                )
            try:
                center_crop(_decoded(image), size, self.about["resize_to"], showing, view)
            except Exception as error:  # codecs raise what they like
                raise MlflowException.invalid_parameter_value(f"the image of row {row} cannot be decoded: {error}") from error
        pixels = torch.from_numpy(views).to(self.device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(self.about[name], device=self.device)[:, None, None] for name in ("mean", "std"))
        with self.precision.autocast():
            columns = self.network((pixels - mean) / std)
        return {name: column.cpu().numpy() for name, column in columns.items()}


def _kind(given: Any) -> str:
    """What stands where a file should, in words."""
    return "nothing" if pd.api.types.is_scalar(given) and pd.isna(given) else f"of type {type(given).__name__}"


def _decoded(image: Any) -> bytes:
    """An encoded image; MLflow's server hands on base64 of `inputs`, `instances` and CSV as it came."""
    content = image.encode() if isinstance(image, str) else bytes(image)
    text = BASE64.fullmatch(content)
    if text is None:
        return content
    plain = text[1].translate(URL_SAFE, delete=b"\r\n=")
    return base64.urlsafe_b64decode(plain + b"=" * (-len(plain) % 4))


set_model(ImageModel())
