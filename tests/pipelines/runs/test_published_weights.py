"""timm's weights by their names: from a cache by timm's own loading; without cache and network they are refused at once."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from algos.networks import build_backbone
from pipelines.errors import UserError
from pipelines.runs import fetched_weights
from pipelines.runs.published_weights import Published
from tests.helpers.inputs.published import REVISION, put_into_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


def network_of(published, **options):
    return build_backbone(published.backbone, image_size=160, stem="imagenet", options=options)


def load(published, **options):
    return published.weights(network_of(published, **options), options, "it")


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "test_vit.r160_in1k"])
def test_weights_in_the_cache_are_the_backbones_bit_by_bit(cache, name):
    whole = put_into_cache(cache, name)
    published = Published.find(f"timm/{name}")
    assert published.name == f"timm/{name}"
    found = load(published)
    backbone = network_of(published)
    backbone.load_state_dict(found.tensors)
    assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in backbone.state_dict().items())
    assert found.source == published.name
    whole.reset_classifier(0)
    images = torch.randn(2, 3, *whole.pretrained_cfg["input_size"][1:])
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(images), whole(images), rtol=0, atol=0)


def test_a_name_without_a_tag_is_the_one_that_timm_takes(cache):
    assert Published.find("timm/resnet18").name == "timm/resnet18.a1_in1k"
    assert Published.find("timm/resnet18.tv_in1k").name == "timm/resnet18.tv_in1k"


def test_options_that_timm_adapts_weights_to_are_kept(cache):
    whole = put_into_cache(cache, "test_vit.r160_in1k")
    found = load(Published.find("timm/test_vit"), img_size=32)
    assert found.tensors["pos_embed"].shape == (1, 5, 64)  # 2 x 2 patches and the class
    assert torch.equal(found.tensors["patch_embed.proj.weight"], whole.state_dict()["patch_embed.proj.weight"])


def test_options_that_make_another_network_are_refused(cache):
    put_into_cache(cache, "test_resnet.r160_in1k")
    with pytest.raises(UserError, match=r"timm/test_resnet.r160_in1k in .* do not fit the model with the options .* another \("):
        load(Published.find("timm/test_resnet"), layers=[1, 1, 1, 2])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/resnet17", "timm has no model 'resnet17'; nearest valid name: timm/resnet1"),
        (
            "timm/resnet18.a1_in2k",
            "timm has no weights 'a1_in2k' of resnet18; nearest valid name: a1_in1k; it has a1_in1k,",
        ),
        ("timm/resnet200", "timm publishes no weights of resnet200; give those of another model, or a file"),
        ("timm/", "timm has no model ''"),
        ("timm/hf-hub:someone/something", "timm has no model 'hf-hub:someone/something'"),
    ],
)
def test_a_name_that_timm_does_not_know_is_refused_with_the_nearest(name, said):
    with pytest.raises(UserError, match=said):
        Published.find(name)


@pytest.mark.parametrize("network", ["offline", "absent", "silent"])
def test_weights_that_are_neither_here_nor_to_be_fetched_are_said_at_once(cache, monkeypatch, network):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if network == "silent" else 1
        template = f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", network == "offline")
        monkeypatch.setattr(fetched_weights, "PATIENCE", 0.5)
        started = time.monotonic()
        with pytest.raises(UserError) as refused:
            load(Published.find("timm/resnet18.a1_in1k"))
        assert time.monotonic() - started < 5
    assert re.fullmatch(
        r"the weights timm/resnet18.a1_in1k are not in the cache of this machine, and http://127.0.0.1:\d+/timm/resnet18.a1_in1k/"
        r"resolve/main/model.safetensors cannot be fetched \(.+\); fetch them where there is a network, or give their file",
        str(refused.value),
    )


def test_weights_of_an_address_are_taken_from_torchs_cache(cache, monkeypatch):
    published = Published.find("timm/legacy_seresnet18.in1k")
    assert not published.about.hf_hub_id  # or another model of timm's has to be taken, whose weights are not on the hub
    whole = timm.create_model("legacy_seresnet18")
    folder = Path(torch.hub.get_dir(), "checkpoints")
    folder.mkdir(parents=True)
    torch.save(whole.state_dict(), folder / published.about.url.rpartition("/")[2])
    found = load(published)
    assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in found.tensors.items())


def test_a_damaged_file_in_the_cache_is_said(cache):
    put_into_cache(cache, "test_resnet.r160_in1k")
    (file,) = cache.rglob("model.safetensors")
    whole = load_file(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model.safetensors is no whole safetensors file"):
        load(Published.find("timm/test_resnet"))
    save_file({name: tensor for name, tensor in whole.items() if name != "bn1.weight"}, file)
    with pytest.raises(UserError, match=r"do not fit the model \(.*bn1.weight"):
        load(Published.find("timm/test_resnet"))


def test_code_in_a_cached_file_is_not_run(cache, tmp_path):
    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    put_into_cache(cache, "test_resnet.r160_in1k")
    snapshot = next(cache.rglob(REVISION))
    (snapshot / "model.safetensors").unlink()
    torch.save({"state_dict": Code()}, snapshot / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model.bin needs \w+.*touch besides tensors|pytorch_model.bin needs .*getattr"):
        load(Published.find("timm/test_resnet"))
    assert not (tmp_path / "executed").exists()


def test_images_are_taken_as_timm_does_and_what_differs_is_said():
    published = Published.find("timm/test_resnet")
    theirs = timm.data.resolve_model_data_config(timm.create_model("test_resnet.r160_in1k"))
    view = published.view
    assert (view.size, tuple(view.mean), tuple(view.std)) == (theirs["input_size"][1], theirs["mean"], theirs["std"])
    assert view.resize_to == int(160 / theirs["crop_pct"]) == 168
    assert published.otherwise == []
    assert Published.find("timm/test_vit").otherwise == [
        "timm resizes their images by the bicubic filter, where here it is the bilinear one"
    ]
    squashed = Published.find("timm/vit_so400m_patch14_siglip_gap_378.webli_ft_in1k").otherwise
    assert squashed[0] == "timm shows them by crop mode 'squash', where here the central square is cut out"
