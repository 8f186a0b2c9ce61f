"""A trained model from a run's folder, whichever version made the run."""

from __future__ import annotations

from dataclasses import replace

import huggingface_hub
import pytest
import torch
import torchvision

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.trained_model import Trained, check_network, new_backbone, say_of_start, start_from
from pipelines.views.view_config import Normalization
from tests.helpers.inputs.made_up_data import dataset
from tests.helpers.inputs.published import put_into_cache
from tests.helpers.pages.words import settings_of
from tests.helpers.runs.version_0_1 import unpack


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder `outputs` as version 0.1 left it."""
    return unpack(tmp_path_factory.mktemp("old")) / "outputs"


def test_checkpoints_of_version_0_1_are_found_by_name(old):
    newest = Trained.open(str(old / "coke"))
    assert (newest.entry.global_step, newest.split, newest.view.size) == (36, "train", 8)
    assert newest.selection is None
    earlier = Trained.open(str(old / "coke" / "checkpoints" / "step-000000014.pt"))
    assert earlier.entry.global_step == 14
    with pytest.raises(UserError, match=r"has no checkpoint 'step-000000015\.pt'; nearest valid name: step-000000014"):
        Trained.open(str(old / "coke" / "checkpoints" / "step-000000015.pt"))


def test_the_labels_of_version_0_1_lie_in_the_runs_folder(old):
    trained = Trained.open(str(old / "few"))
    assert trained.selection is not None
    assert len(trained.selection.classes) == 10
    assert trained.backbone == {"name": "wrn-10-1", "stem": "auto", "stem_stride": 1, "options": {}}


@pytest.mark.parametrize("run", ["coke", "few"])
def test_a_method_of_version_0_1_is_rebuilt_with_what_it_learned(old, run):
    trained = Trained.open(str(old / run))
    learned = trained.state["method"]
    vars(trained)["dataset"] = dataset(rows=learned["memory"]["labels"].shape[1])  # its shards are long gone
    state = trained.method().state_dict()
    assert all(torch.equal(value, learned["network"][key]) for key, value in state["network"].items())
    assert torch.equal(state["memory"]["labels"], learned["memory"]["labels"])
    untrained = trained.method(untrained=True).state_dict()["network"]
    assert not all(torch.equal(value, untrained[key]) for key, value in state["network"].items())


def test_a_backbone_that_cannot_be_built_is_refused_before_anything_starts():
    config = read_recipe("coke_digits", PretrainConfig, settings_of(["--backbone.name", "resnet10"]))
    with pytest.raises(UserError, match="unknown backbone 'resnet10'; nearest"):
        check_network(config)
    check_network(read_recipe("coke_digits", PretrainConfig))


def starting(*words):
    """A configuration of images of 32 px."""
    views = ["--views.large", "[{size: 32}]", "--stream.normalization.mean", "[0.5, 0.5, 0.5]"]
    std = ["--stream.normalization.std", "[0.25, 0.25, 0.25]"]
    return read_recipe("coke_digits", PretrainConfig, settings_of([*views, *std, *words]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["timm/resnet18"], "^init_from timm/resnet18.a1_in1k has weights of timm's resnet18, and the recipe's backbone is "
         "'wrn-10-2'; set --backbone.name timm/resnet18$"),
        (["timm/resnet18", "--backbone.name", "timm/resnet34"], "is 'timm/resnet34'; set --backbone.name timm/resnet18$"),
        (["timm/resnet18", "--backbone.name", "resnet18"], "is 'resnet18'; set --backbone.name timm/resnet18$"),
        (["timm/resnet-18", "--backbone.name", "resnet18"], "timm has no model 'resnet-18'; nearest valid name: timm/resnet18"),
        (["{here}/absent"], "absent is neither a run, .* nor a file of weights [(].safetensors, .*[)], nor timm/MODEL.TAG"),
        (["{here}/absent.pth"], "absent.pth is not there"),
        (["{here}"], "is neither a run, whose folder holds run.json, nor a file of weights"),
        (["{here}/whole.pth", "--backbone.name", "resnet18"],
         "the small stem that images of up to 64 px get: conv1.weight is 64 x 3 x 7 x 7 in the file and 64 x 3 x 3 x 3 in the "
         "network; .*set --backbone.stem imagenet$"),
        (["{here}/whole.pth", "--backbone.name", "resnet34", "--backbone.stem", "imagenet"],
         "does not fit the recipe's backbone 'resnet34' [(]stem imagenet, images of 32 px[)]: 80 of the network's 216"),
    ],
)  # fmt: skip
def test_weights_that_are_not_there_or_of_another_network_are_refused(tmp_path, words, said):
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "whole.pth")
    with pytest.raises(UserError, match=said):
        check_network(starting("--init_from", *(word.replace("{here}", str(tmp_path)) for word in words)))


def test_weights_of_others_and_what_they_expect(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    whole = put_into_cache(tmp_path, "test_resnet.r160_in1k").state_dict()
    config = starting("--init_from", "timm/test_resnet", "--backbone.name", "timm/test_resnet", "--backbone.stem", "imagenet")
    weights = check_network(config)
    start_from(backbone := new_backbone(config), config, Location.of(tmp_path))
    assert all(torch.equal(tensor, whole[name]) for name, tensor in backbone.state_dict().items())
    assert weights.source == "timm/test_resnet.r160_in1k"
    say_of_start(config, weights)
    assert capsys.readouterr().err.splitlines() == [
        "init_from timm/test_resnet: these are timm/test_resnet.r160_in1k",
        "init_from timm/test_resnet: they expect pixels of mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5], "
        "stream.normalization has [0.5, 0.5, 0.5] and [0.25, 0.25, 0.25]; for theirs: "
        '--stream.normalization.mean "[0.5, 0.5, 0.5]" --stream.normalization.std "[0.5, 0.5, 0.5]"',
    ]
    alike = replace(config, stream=replace(config.stream, normalization=Normalization([0.5] * 3, [0.5] * 3)))
    say_of_start(replace(alike, init_from=weights.source), check_network(replace(alike, init_from=weights.source)))
    assert capsys.readouterr().err == ""


def test_a_run_keeps_what_it_starts_from(tmp_path):
    torch.manual_seed(0)
    whole = torchvision.models.resnet18().state_dict()
    torch.save(whole, tmp_path / "whole.pth")
    config = starting("--init_from", str(tmp_path / "whole.pth"), "--backbone.name", "resnet18", "--backbone.stem", "imagenet")
    check_network(config).keep(Location.of(tmp_path / "run"))
    (tmp_path / "whole.pth").unlink()
    start_from(backbone := new_backbone(config), config, Location.of(tmp_path / "run"))
    assert all(torch.equal(tensor, whole[name]) for name, tensor in backbone.state_dict().items())
    assert check_network(config, resumed=True) is None
    with pytest.raises(UserError, match=r"whole.pth is not there"):
        start_from(backbone, config, Location.of(tmp_path / "other"))


def test_a_network_that_takes_no_images_of_the_recipes_size_is_refused():
    name = ["--backbone.name", "timm/vit_tiny_patch16_224"]
    with pytest.raises(UserError, match=r"takes no images of 32 px \(Input height \(32\).*\); change the size of the views"):
        check_network(starting(*name))
    fitting = [*name, "--backbone.options", "{img_size: 32}"]
    check_network(starting(*fitting))
    with pytest.raises(UserError, match="takes no images of 48 px"):
        check_network(starting(*fitting, "--views.small", "[{size: 48}]"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backbone.options", "{img_size: 32}"],
         r"no images of 16 px beside those of 32 px \(.*\); .*let it take all of them: "
         r'--backbone.options "\{dynamic_img_size: true, img_size: 32\}"$'),
        ([], r'no images of 32 px \(.*--backbone.options "\{dynamic_img_size: true\}"$'),
        (["--backbone.options", "{dynamic_img_size: true, patch_size: 32}"], "divisible by patch size .*; give all views 32 px"),
        (["--backbone.options", "{dynamic_img_size: true, patch_size: 12}"],
         r"no images of 32 px \(.*divisible by patch size .*\); change the size of the views, or take another backbone$"),
        (["--backbone.name", "timm/swin_tiny_patch4_window7_224", "--backbone.options", "{img_size: 32, window_size: 2}"],
         "let it take all of them"),
        (["--backbone.name", "timm/mixer_s16_224", "--backbone.options", "{img_size: 32}"],
         "give all views 32 px, leave views.small out, or take a backbone of any size"),
    ],
)  # fmt: skip
def test_a_network_of_one_size_says_how_it_takes_small_crops_too_or_that_it_does_not(words, said):
    given = ["--backbone.name", "timm/vit_tiny_patch16_224", *words, "--views.small", "[{size: 16, repeat: 2}]"]
    with pytest.raises(UserError, match=said):
        check_network(starting(*given))


def test_a_vit_of_dynamic_size_takes_large_views_and_small_crops():
    options = "{img_size: 32, patch_size: 8, embed_dim: 24, depth: 2, num_heads: 2, dynamic_img_size: true, drop_path_rate: 0.1}"
    given = ["--backbone.name", "timm/vit_tiny_patch16_224", "--backbone.options", options, "--views.small", "[{size: 16}]"]
    check_network(starting(*given))
    with pytest.raises(UserError, match=r"does not take the options .*divisible by num_heads"):
        check_network(starting(*given[:2], "--backbone.options", "{embed_dim: 25, num_heads: 2}"))


def test_a_decay_by_layers_is_of_backbones_that_have_layers():
    with pytest.raises(UserError, match=r"optimizer.layer_decay is 0.7, but backbone 'resnet18' does not say .*timm/resnet50"):
        check_network(starting("--backbone.name", "resnet18", "--optimizer.layer_decay", "0.7"))
    check_network(starting("--backbone.name", "timm/resnet18", "--optimizer.layer_decay", "0.7"))


def test_weights_of_timm_or_in_a_file_are_no_run():
    with pytest.raises(UserError, match=r"whole\.pth is no run but a file, which --init-from may take; give a run's folder"):
        Trained.open("whole.pth")
    with pytest.raises(UserError, match="timm/resnet18 is no run but weights of timm's, which quorum embed and --init-from take"):
        Trained.open("timm/resnet18")


def test_weights_start_from_another_run_if_the_backbones_are_alike(old):
    config = read_recipe(
        "coke_digits", PretrainConfig, settings_of(["--backbone.name", "wrn-10-1", "--init_from", str(old / "coke")])
    )
    found, learned = check_network(config), Trained.open(str(old / "coke")).state["method"]["network"]
    assert all(torch.equal(tensor, learned[f"backbone.{name}"]) for name, tensor in found.tensors.items())
    assert found.source == str(old / "coke" / "checkpoints" / "step-000000036.pt")
    other = read_recipe(
        "coke_digits", PretrainConfig, settings_of(["--backbone.name", "wrn-16-1", "--init_from", str(old / "coke")])
    )
    with pytest.raises(UserError, match=r"has backbone 'wrn-10-1' \(stem auto.* does not fit this recipe's 'wrn-16-1'"):
        check_network(other)
    assert new_backbone(config).num_features == 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{global_pool: ''}", r"makes \[32, 4, 4\] of an image, and a row of features is needed"),
        ("{features_only: true}", "makes a list of an image"),
        ("{channels: [8, 16]}", "takes no images of 32 px .*layer3"),
        ("{layers: [1]}", "does not take the options .*: float division by zero"),
        ("{pretrained: true}", "backbone.options has pretrained, but weights come by init_from, as timm/MODEL.TAG; leave it out"),
    ],
)
def test_options_by_which_a_network_gives_no_features_are_refused_before_a_worker_starts(options, said):
    small = "{channels: [8, 16, 16, 32], " + options[1:] if "channels" not in options else options
    with pytest.raises(UserError, match=said):
        check_network(starting("--backbone.name", "timm/resnet10t", "--backbone.options", small))


def test_a_stride_of_a_stem_that_a_network_does_not_have_is_told(capsys):
    told = "backbone.stem_stride does nothing while backbone 'timm/vit_tiny_patch16_224' has no ResNet stem to make small"
    fitting = ["--backbone.name", "timm/vit_tiny_patch16_224", "--backbone.options", "{img_size: 32}"]
    check_network(starting(*fitting, "--backbone.stem_stride", "2"))
    assert capsys.readouterr().err.splitlines() == [f"{told}; leave it out"]
    for words in (fitting, ["--backbone.name", "resnet18", "--backbone.stem_stride", "2"]):
        check_network(starting(*words))
    check_network(starting(*fitting, "--backbone.stem_stride", "2"), resumed=True)
    assert capsys.readouterr().err == ""
