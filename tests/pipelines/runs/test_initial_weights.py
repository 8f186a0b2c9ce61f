"""What a backbone starts from: a file's weights, and the copy of them that a run keeps."""

from __future__ import annotations

import json

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from algos.networks import build_backbone
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.initial_weights import InitialWeights, weights_of_file
from pipelines.runs.run_folder import INITIAL_FILE


@pytest.fixture(scope="module")
def library():
    """torchvision's ResNet with its classifier."""
    torch.manual_seed(0)
    return torchvision.models.resnet18().state_dict()


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("resnet18", image_size=224)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_librarys_file_gives_the_backbone_and_says_what_is_left_out(tmp_path, library, backbone):
    torch.save({"state_dict": library}, tmp_path / "whole.pth.tar")
    found = weights_of_file(str(tmp_path / "whole.pth.tar"), backbone, "backbone 'resnet18'")
    assert found.tensors.keys() == backbone.state_dict().keys()
    assert same(found.tensors, library)
    assert (found.source, found.said) == (str(tmp_path / "whole.pth.tar"), ["left out is its classifier (fc.bias, fc.weight)"])
    assert found.pixels is None


def test_what_export_wrote_is_known_with_its_normalisation(tmp_path, library, backbone):
    said = {"backbone": json.dumps({"name": "resnet18"}), "normalization": json.dumps({"mean": [0.5] * 3, "std": [0.25] * 3})}
    save_file(library, tmp_path / "exported.safetensors", said)
    found = weights_of_file(str(tmp_path / "exported.safetensors"), backbone, "backbone 'resnet18'")
    assert found.pixels == ([0.5] * 3, [0.25] * 3)
    with pytest.raises(
        UserError, match=r'exported.safetensors, which was exported from \{"name": "resnet18"\}, does not fit the rec'
    ):
        weights_of_file(str(tmp_path / "exported.safetensors"), build_backbone("resnet34", image_size=224), "backbone 'resnet34'")


@pytest.mark.parametrize("normalization", ["[]", "no JSON", '{"mean": 3, "std": null}', '{"mean": [0.5]}'])
def test_metadata_of_others_is_no_normalisation(tmp_path, library, backbone, normalization):
    save_file(library, tmp_path / "others.safetensors", {"normalization": normalization})
    assert weights_of_file(str(tmp_path / "others.safetensors"), backbone, "it").pixels is None


@pytest.mark.parametrize("name", ["resnet18", "timm/resnet18", "timm/resnet10t"])
def test_a_librarys_stem_and_a_small_one_are_told_apart(tmp_path, name):
    torch.save(build_backbone(name, image_size=224, stem="imagenet").state_dict(), tmp_path / "whole.pth")
    with pytest.raises(UserError, match=r"the small stem that images of up to 64 px get: .*conv1.*set --backbone.stem imagenet$"):
        weights_of_file(str(tmp_path / "whole.pth"), build_backbone(name, image_size=32), f"backbone {name!r}")


def test_another_network_of_small_stem_is_not_said_to_be_the_stem(tmp_path, library):
    torch.save(library, tmp_path / "whole.pth")
    with pytest.raises(UserError, match=r"does not fit the recipe's it: 96 in it are|does not fit the recipe's it: 80 of the"):
        weights_of_file(str(tmp_path / "whole.pth"), build_backbone("resnet34", image_size=32), "it")


def test_the_copy_is_the_same_bit_by_bit_and_its_digest_that_of_any_file(tmp_path, library, backbone):
    torch.save(library, tmp_path / "whole.pth")
    save_file({name: tensor for name, tensor in library.items() if not name.startswith("fc.")}, tmp_path / "bare.safetensors")
    first, second = (weights_of_file(str(tmp_path / name), backbone, "it") for name in ("whole.pth", "bare.safetensors"))
    assert first.digest == second.digest
    run = Location.of(tmp_path / "run")
    assert InitialWeights.kept(run) is None
    first.keep(run)
    kept = InitialWeights.kept(run)
    assert same(kept.tensors, library)
    assert kept.digest == first.digest
    changed = {**first.tensors, "bn1.weight": first.tensors["bn1.weight"] + 1}
    assert InitialWeights(changed, "here").digest != first.digest


def test_a_copy_of_other_strides_is_kept_too(tmp_path, backbone):
    strided = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    strided["conv1.weight"] = strided["conv1.weight"].to(memory_format=torch.channels_last)
    InitialWeights(strided, "a run").keep(Location.of(tmp_path))
    assert same(InitialWeights.kept(Location.of(tmp_path)).tensors, strided)


def test_a_copy_that_was_changed_is_refused(tmp_path, backbone):
    InitialWeights(backbone.state_dict(), "here").keep(Location.of(tmp_path))
    place = tmp_path / INITIAL_FILE
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    with pytest.raises(
        UserError, match=r"initial.safetensors was edited or is damaged: its digest is not that of its tensors; restore"
    ):
        InitialWeights.kept(Location.of(tmp_path))
    save_file(load_file(place), place)
    with pytest.raises(UserError, match="its digest is not that"):
        InitialWeights.kept(Location.of(tmp_path))
