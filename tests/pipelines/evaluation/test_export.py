"""Exported backbones in the foreign libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.config.training_plan import build_method
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.evaluation.export import export
from pipelines.runs.trained_model import Trained, new_backbone
from pipelines.training.launch import Training
from quorum.cli import main
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS as RECIPE

pytestmark = [pytest.mark.ray, pytest.mark.job]


def saved_run(digits: str, storage: Path, *backbone: str) -> Path:
    """A run folder with one checkpoint, as training leaves it, without the training."""
    overrides = ["--data", digits, "--storage", str(storage), "--name", "run", *backbone]
    config = read_recipe(RECIPE, PretrainConfig, settings_of(overrides))
    dataset = Dataset.open(digits)
    run = Training(config, None, None).create()
    method = build_method(config, new_backbone(config), dataset, None)
    run.checkpoints.save({"method": method.state_dict()}, epoch=1, step=0, global_step=44, score=0.5)
    return storage / "run"


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_resnet_loads_strictly_and_computes_the_same(digits, tmp_path, library):
    folder = saved_run(digits, tmp_path, "--backbone.name", "resnet18", "--backbone.stem", "imagenet")
    main(["export", str(folder), "--to", str(tmp_path / "net.safetensors")])
    if library == "torchvision":
        network = torchvision.models.resnet18()
        network.fc = torch.nn.Identity()
    else:
        network = timm.create_model("resnet18", num_classes=0)
    network.load_state_dict(load_file(tmp_path / "net.safetensors"))
    images = torch.randn(2, 3, 64, 64)
    ours = Trained.open(str(folder)).method().backbone
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), ours(images))


VIT = {"img_size": 8, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "dynamic_img_size": True}


@pytest.mark.parametrize(
    ("backbone", "call"),
    [
        ({"name": "timm/vit_tiny_patch16_224", "stem": "auto", "options": VIT}, "timm.create_model('vit_tiny_patch16_224'"),
        ({"name": "resnet50", "stem": "imagenet", "options": {"groups": 2, "width_per_group": 16}}, "torchvision's resnet50"),
    ],
)
def test_it_says_what_loads_a_network_with_options(digits, tmp_path, backbone, call):
    folder = saved_run(digits, tmp_path, "--backbone", json.dumps(backbone))
    said = export(str(folder), str(tmp_path / "net.safetensors")).partition(": ")[2]
    options = "".join(f", {key}={value!r}" for key, value in backbone["options"].items())
    end = ", num_classes=0" if "timm" in call else " with fc = Identity()"
    assert said == f"{call}{end}{options}{')' if 'timm' in call else ''} loads it"
    if "timm" in call:
        network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **backbone["options"])
    else:
        network = torchvision.models.resnet50(**backbone["options"])
        network.fc = torch.nn.Identity()
    network.load_state_dict(load_file(tmp_path / "net.safetensors"))


def test_metadata_says_how_to_rebuild_a_small_stem(digits, tmp_path):
    folder = saved_run(digits, tmp_path, "--backbone", '{"name": "resnet18", "stem": "small", "options": {}}')
    assert "build_backbone" in export(str(folder), str(tmp_path / "net.safetensors"))
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert json.loads(file.metadata()["backbone"])["stem"] == "small"


def test_a_file_is_replaced_only_as_wished(digits, tmp_path):
    folder, file = saved_run(digits, tmp_path), tmp_path / "net.safetensors"
    file.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"net\.safetensors is there already; choose another --to or give --overwrite"):
        export(str(folder), str(file))
    assert file.read_bytes() == b"mine"
    export(str(folder), str(file), overwrite=True)
    assert load_file(file)


def test_another_file_type_is_refused(digits, tmp_path):
    with pytest.raises(UserError, match="safetensors"):
        export(str(tmp_path), str(tmp_path / "net.pt"))
