"""`quorum export`: a backbone that torchvision or timm loads."""

from __future__ import annotations

import json
import posixpath

from safetensors.torch import save
from torch import Tensor

from algos.matching_weights import classifier_names
from algos.networks import SMALL_IMAGE
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.trained_model import Trained


def export(place: str, to: str, *, classifier: bool = False) -> str:
    """Write the backbone of a run or checkpoint as safetensors; returns a line that says how to load it.

    Keys are the foreign library's own. The file's metadata holds the architecture, image size and normalisation.

    Args:
        place: a run's folder or a checkpoint of it.
        to: file to write.
        classifier: of a semi-supervised run, the averaged weights with their classifier; class names go into the metadata.

    Raises:
        UserError: for a file name without `.safetensors`, or a run without a classifier.
    """
    file = Location.of(to)
    if posixpath.splitext(file.path)[1] != ".safetensors":
        raise UserError(f"--to is {to!r}; the export is a safetensors file, so name it ....safetensors")
    trained = Trained.open(place)
    weights = _classified(trained) if classifier else trained.method().backbone.state_dict()
    file.parent.make()
    metadata = {
        "backbone": json.dumps(trained.backbone),
        "image_size": str(trained.view.size),
        "normalization": json.dumps({"mean": trained.view.mean, "std": trained.view.std}),
        "checkpoint": trained.entry.file,
    }
    if classifier and trained.selection:
        metadata["classes"] = json.dumps(trained.selection.classes)
    file.write_bytes(save({name: tensor.contiguous() for name, tensor in weights.items()}, metadata))
    return f"{file}: {_loading(trained, classifier=classifier)}"


def _classified(trained: Trained) -> dict[str, Tensor]:
    """Averaged backbone and classifier under the names of the foreign library."""
    averaged = trained.method().classifiers().get("accuracy_ema")
    if averaged is None:
        raise UserError(
            f"{trained.run.location} is a run of quorum {trained.run.kind}, which has no classifier; leave out --classifier"
        )
    backbone = averaged.get_submodule("backbone")
    name = classifier_names(backbone)[0]
    head = averaged.get_submodule("classifier").state_dict()
    return backbone.state_dict() | {f"{name}.{key}": tensor for key, tensor in head.items()}


def _loading(trained: Trained, *, classifier: bool) -> str:
    backbone = trained.backbone
    library, _, name = backbone["name"].rpartition("/")
    small = backbone["stem"] == "small" or (backbone["stem"] == "auto" and trained.view.size <= SMALL_IMAGE)
    if small or name.startswith("wrn"):
        why = f"{name} is in neither library" if name.startswith("wrn") else "its first convolution is the small stem's"
        first = "the backbone alone (keys without fc.) of " if classifier else ""
        return f"{why}: docs/problems.md shows how algos.networks.build_backbone rebuilds {first}it from the file's metadata"
    options = "".join(f", {key}={value!r}" for key, value in backbone["options"].items())
    classes = len(trained.selection.classes) if classifier and trained.selection else 0
    timm_call = f"timm.create_model({name!r}, num_classes={classes}{options})"
    torchvision_call = f"torchvision's {name} with " + (f"num_classes={classes}" if classes else "fc = Identity()")
    return f"{timm_call} loads it" if library else f"{torchvision_call} loads it, and {timm_call}"
