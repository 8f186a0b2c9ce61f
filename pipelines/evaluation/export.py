"""`quorum export`: a backbone that torchvision or timm loads."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import save
from torch import Tensor

from algos.matching_weights import classifier_names
from algos.methods.method import Method
from algos.networks import has_small_stem
from pipelines.errors import UserError
from pipelines.evaluation.serving.write_model import write_model
from pipelines.files.location import Location
from pipelines.runs.trained_model import Trained
from pipelines.secrets import hidden
from pipelines.tracking.about.model_entry import model_of, register_model, send_model
from pipelines.tracking.mlflow_store import asking, check_run

MLFLOW = "mlflow"  # where a file's name would stand


def export(
    place: str, to: str, *, classifier: bool = False, register: str | None = None, alias: str | None = None,
    overwrite: bool = False,
) -> str:  # fmt: skip
    """Write the backbone of a run or checkpoint as safetensors, or log its model; returns a line that says how to load it.

    Keys are the foreign library's own. The file's metadata holds the architecture, image size and normalisation.

    Args:
        place: a run's folder or a checkpoint of it.
        to: file to write, or `mlflow`.
        classifier: of a semi-supervised run, the averaged weights with their classifier; class names go into the metadata.
        register: name in MLflow's registry that the model becomes a version of.
        alias: of that version.
        overwrite: replace the file.

    Raises:
        UserError: for a file that is there or is no `.safetensors`, a run without a classifier, or a store that refuses.
    """
    _check_names(register, alias)
    if to == MLFLOW:
        if classifier:
            raise UserError("a model in MLflow has the classifier where the method has one; leave out --classifier")
        return log_model(place, register, alias)
    if register is not None:
        raise UserError(f"register is {register!r}, but --to is {to!r}, which MLflow does not know; give --to {MLFLOW}")
    file = Location.of(to)
    if posixpath.splitext(file.path)[1] != ".safetensors":
        raise UserError(f"--to is {to!r}; the export is a safetensors file, so name it ....safetensors, or give {MLFLOW}")
    file.check_free(overwrite=overwrite)
    trained = Trained.open(place)
    method = trained.method()
    weights = _classified(trained, method) if classifier else method.backbone.state_dict()
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
    return f"{file}, of {trained.named}: {_loading(trained, has_small_stem(method.backbone), classifier)}"


def _check_names(register: str | None, alias: str | None) -> None:
    """Refuse names that MLflow would not take, or that no address leads to, before a model or a version is made."""
    if alias is not None and register is None:
        raise UserError(f"alias is {alias!r}, which a version of a registered model has; give --register NAME too")
    if register is not None and not (register.strip() and register.isprintable() and not re.search("[/:@]", register)):
        raise UserError(f"register is {register!r}; give a name in one line, without /, : and @")
    if alias is not None and (not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", alias) or re.fullmatch(r"(?i)latest|v\d+", alias)):
        raise UserError(
            f"alias is {alias!r}; give letters, digits, _ and -, but neither latest nor a version as v1, which MLflow keeps for "
            "itself"
        )


def log_model(place: str, register: str | None, alias: str | None) -> str:
    """Log the model of a checkpoint with its run in MLflow, unless it is there; arguments as of `export`.

    Raises:
        UserError: when the store does not take it.
    """
    trained = Trained.open(place)
    run, file = trained.run, trained.entry.file
    address = run.go_on(run.identity["data"], "", None).address
    check_run(address)
    names = {entry.file: name for name, entry in (("last", run.checkpoints.latest()), ("best", run.checkpoints.best())) if entry}
    with asking(address.uri, "start it, or go on with the run to another store") as client, TemporaryDirectory() as scratch:
        found = model_of(client, address, file)
        if found is None or found.status != "READY":
            entry = write_model(place, names.get(file, posixpath.splitext(file)[0]), Path(scratch))
            model = send_model(client, address, entry.values(), run.history())
        else:
            model = str(found.model_id)
        version = register_model(client, address, model, register, alias) if register else None
    uri = f"models:/{model}" if version is None else f"models:/{register}{f'@{alias}' if alias else f'/{version}'}"
    numbered = "" if version is None else f" as version {version} of {register}"
    loads = f"with MLFLOW_TRACKING_URI={hidden(address.uri)} set, mlflow.pyfunc.load_model({uri!r}) loads it"
    return f"the model of {trained.named} is logged{numbered}; {loads}"


def _classified(trained: Trained, method: Method) -> dict[str, Tensor]:
    """Averaged backbone and classifier under the names of the foreign library."""
    averaged = method.classifiers().get("accuracy_ema")
    if averaged is None:
        raise UserError(
            f"{trained.run.location} is a run of quorum {trained.run.kind}, which has no classifier; leave out --classifier"
        )
    backbone = averaged.get_submodule("backbone")
    name = classifier_names(backbone)[0]
    head = averaged.get_submodule("classifier").state_dict()
    return backbone.state_dict() | {f"{name}.{key}": tensor for key, tensor in head.items()}


def _loading(trained: Trained, small: bool, classifier: bool) -> str:
    """How the file is loaded; a network with a small stem is in neither library."""
    backbone = trained.backbone
    library, _, name = backbone["name"].rpartition("/")
    if small or name.startswith("wrn"):
        why = f"{name} is in neither library" if name.startswith("wrn") else "its first convolution is the small stem's"
        first = "the backbone alone (keys without fc.) of " if classifier else ""
        return f"{why}: docs/problems.md shows how algos.networks.build_backbone rebuilds {first}it from the file's metadata"
    options = "".join(f", {key}={value!r}" for key, value in backbone["options"].items())
    classes = len(trained.selection.classes) if classifier and trained.selection else 0
    timm_call = f"timm.create_model({name!r}, num_classes={classes}{options})"
    torchvision_call = f"torchvision's {name} with " + (f"num_classes={classes}" if classes else "fc = Identity()") + options
    if library:
        return f"{timm_call} loads it"
    return f"{torchvision_call} loads it" + ("" if options else f", and {timm_call}")  # whose options are others
