"""Recipes and options: what parses, and how what does not is named."""

from __future__ import annotations

import math

import pytest
import yaml

from pipelines.config.plain_values import flatten
from pipelines.config.recipe import read_recipe
from pipelines.config.sections import OptimizerConfig
from pipelines.config.training_config import PretrainConfig, SemisupConfig
from pipelines.config.typed_options import from_values
from pipelines.errors import UserError
from tests.helpers import places
from tests.helpers.pages.words import settings_of

RECIPES = sorted(places.RECIPES.glob("*.yaml"))
SMALL = {"data": "data/digits", "views": {"large": [{"size": 16, "repeat": 2}]}}


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe; returns its path."""

    def write(**parts):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(SMALL | parts))
        return str(path)

    return write


def refusal(path, *overrides):
    with pytest.raises(UserError) as error:
        read_recipe(path, PretrainConfig, settings_of(overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_comes_back_from_its_own_yaml(path, tmp_path):
    kind = SemisupConfig if path.stem.startswith("protocon") else PretrainConfig
    config = read_recipe(str(path), kind)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(config.to_dict()))
    assert read_recipe(str(again), kind) == config


def test_a_recipe_sets_what_it_names_and_leaves_the_rest(recipe):
    config = read_recipe(recipe(epochs=3, optimizer={"lr": 0.5}), PretrainConfig)
    assert (config.epochs, config.optimizer.lr, config.views.large[0].size) == (3, 0.5, 16)
    assert config.optimizer == OptimizerConfig(lr=0.5)


def test_overrides_win_over_the_recipe(recipe):
    path = recipe(epochs=3, optimizer={"lr": 0.5, "name": "sgd"})
    config = read_recipe(
        path, PretrainConfig, settings_of(["--epochs", "9", "--optimizer.lr=0.25", "--method.num_clusters", "[5, 6]"])
    )
    assert (config.epochs, config.optimizer.lr, config.optimizer.name) == (9, 0.25, "sgd")
    assert list(config.method.num_clusters) == [5, 6]


@pytest.mark.parametrize(
    ("parts", "key", "near"),
    [
        ({"epoch": 3}, "epoch", "epochs"),
        ({"optimizer": {"lrr": 0.1}}, "optimizer.lrr", "optimizer.lr"),
        ({"views": {"large": [{"size": 8}, {"size": 8, "flipp": 0.1}]}}, "views.large.flipp", "views.large.flip"),
        ({"stream": {"normalization": {"meen": [0, 0, 0]}}}, "stream.normalization.meen", "stream.normalization.mean"),
        ({"method": {"dimm": 8}}, "method.dimm", "method.dim"),
    ],
)
def test_an_unknown_key_of_a_recipe_is_named_with_the_nearest(recipe, parts, key, near):
    path = recipe(**parts)
    assert refusal(path) == f"recipe {path}: unknown key '{key}'; nearest valid name: {near}"


@pytest.mark.parametrize(
    ("key", "near"),
    [("method.dimm", "method.dim"), ("optimizer.moment", "optimizer.momentum"), ("batchsize", "batch_size"), ("epoch", "epochs")],
)
def test_an_unknown_or_shortened_key_of_the_settings_is_named_with_the_nearest(recipe, key, near):
    assert refusal(recipe(), f"--{key}=3") == f"unknown key '{key}'; nearest valid name: {near}"


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        ({"epochs": "many"}, "epochs"),
        ({"epochs": 2.5}, "epochs"),
        ({"optimizer": {"name": "adam"}}, "optimizer.name"),
        ({"compute": {"gpu": "perhaps"}}, "compute.gpu"),
        ({"views": {"large": 3}}, "views.large"),
        ({"views": {"large": [{"size": "big"}]}}, "size"),
        ({"data": 3}, "data"),
        ({"stream": "train"}, "stream"),
        ({"method": {"num_clusters": ["x"]}}, "method.num_clusters"),
        ({"method": {"name": [1]}}, "method.name"),
        ({"stream": {"normalization": {"std": [0.0, 0.0, 0.0]}}}, "normalization"),
        ({"stream": {"normalization": {"mean": [0.1]}}}, "normalization"),
        ({"stream": {"normalization": {"mean": [math.nan, 0.0, 0.0]}}}, "normalization"),
        ({"stream": {"normalization": {"std": [0.2, math.nan, 0.2]}}}, "normalization"),
        ({"stream": {"normalization": {"std": [0.2, 0.2, math.inf]}}}, "normalization"),
        ({"stream": {"normalization": {"std": [0.2, 1e-46, 0.2]}}}, "normalization"),
        ({"stream": {"normalization": {"mean": [0.2, 1e300, 0.2]}}}, "normalization"),
    ],
)
def test_a_value_of_another_type_names_the_key(recipe, parts, key):
    assert key in refusal(recipe(**parts))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epochs=many", "epochs is many; give a whole number"),
        ("compute.gpu=perhaps", "compute.gpu is perhaps; give true or false"),
        ("optimizer.name=adam", "optimizer.name is adam; give one of lars, sgd"),
        ("method.num_clusters=some", "method.num_clusters is some; give a list of whole numbers"),
        ("method.dual_lr=fast", "method.dual_lr is fast; give a number or null"),
        ("stream=train", "stream is train; give a mapping of split, lanes, window, normalization"),
        ("views.large=[", "views.large is '[', which is no YAML"),
        ("views.large=[{size: 8, flipp: 1}]", "unknown key 'views.large.flipp'; nearest valid name: views.large.flip"),
        ("views.large=[{size: true}]", "views.large: size is True; give a whole number"),
        ("views.large=[{size: 8, jitter: [0.4, 0.4]}]", "views.large: jitter is [0.4, 0.4]; give a list of 4 numbers"),
        ("views.large=[{flip: 0.5}]", "views.large: size is missing; give it"),
        ("views.large=[8]", "views.large holds 8; give a list of mappings"),
        ("views.large={size: 8}", "views.large is {'size': 8}; give a list of mappings"),
        ("optimizer.betas=[0.9]", "optimizer.betas is [0.9]; give a list of 2 numbers"),
    ],
)
def test_a_value_that_does_not_fit_is_said_in_the_users_words(recipe, setting, said):
    assert refusal(recipe(), f"--{setting}").startswith(said)


def test_a_number_is_a_list_of_one_where_a_list_of_any_length_is_wanted(recipe):
    given = settings_of(["--method.num_clusters", "40"])
    assert read_recipe(recipe(), PretrainConfig, given).method.num_clusters == [40]
    assert refusal(recipe(), "--optimizer.betas=0.9").startswith("optimizer.betas is 0.9; give a list of 2 numbers")


@pytest.mark.parametrize("key", ["data", "storage"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_path_is_refused(recipe, key, value):
    with pytest.raises(UserError, match=f"{key} is empty; give a path"):
        read_recipe(recipe(), PretrainConfig, {key: value})


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("name", "text or null"),
        ("tracking.uri", "text or null"),  # another place than the one that is meant would record the run
        ("tracking.experiment", "text"),
        ("stream.split", "text"),
        ("method.num_clusters", "a list of whole numbers"),
        ("method.dual_lr", "a number or null"),
        ("optimizer.betas", "a list of 2 numbers"),
    ],
)
@pytest.mark.parametrize("value", ["", " "])
def test_a_variable_of_the_shell_that_is_not_set_is_no_value(recipe, key, wanted, value):
    assert refusal(recipe(), f"--{key}={value}") == f"{key} is empty; give {wanted}"


def test_clusters_that_are_an_empty_text_are_not_those_of_the_size(recipe):
    with pytest.raises(UserError, match=r"method\.num_clusters is empty; give a list of whole numbers or null"):
        from_values({"data": "d", "labels": "l", "method": {"num_clusters": ""}}, SemisupConfig)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("epochs", "0"),
        ("batch_size", "-8"),
        ("accumulate", "0"),
        ("seed", "-1"),
        ("seed", str(1 << 63)),  # torch takes none that is larger
        ("stream.window", "0"),
        ("optimizer.lr", "0"),
        ("optimizer.warmup_epochs", "-1"),
        ("compute.workers", "0"),
        ("compute.min_workers", "2"),
        ("checkpoint.keep_last", "0"),
        ("checkpoint.every_steps", "-1"),
        ("monitor.log_steps", "0"),
        ("monitor.feature_epochs", "-1"),
        ("tracking.system_seconds", "-1"),
        ("monitor.knn_temperature", "0"),
        ("monitor.knn_bank", "0"),
        ("optimizer.momentum", "1.5"),
        ("optimizer.weight_decay", "-1"),
        ("optimizer.trust_coefficient", "0"),
        ("optimizer.final_weight_decay", "-0.1"),
        ("optimizer.betas", "[0.9, 1.0]"),
        ("optimizer.eps", "0"),
        ("optimizer.layer_decay", "0"),
        ("optimizer.layer_decay", "1.5"),
        ("optimizer.clip_norm", "0"),
        ("compute.max_failures", "-2"),
        ("backbone.stem_stride", "0"),
        ("stream.lanes", "0"),
    ],
)
def test_a_value_out_of_range_names_the_key(recipe, option, value):
    assert option in refusal(recipe(), f"--{option}={value}")


@pytest.mark.parametrize(
    ("name", "key", "value", "owner"),
    [
        ("adamw", "momentum", 0.8, "sgd"),
        ("adamw", "trust_coefficient", 0.01, "lars"),
        ("sgd", "trust_coefficient", 0.01, "lars"),
        ("sgd", "betas", [0.9, 0.95], "adamw"),
        ("lars", "eps", 1e-6, "adamw"),
    ],
)
def test_a_key_that_the_optimiser_has_no_use_for_is_refused(recipe, name, key, value, owner):
    said = refusal(recipe(optimizer={"name": name, "lr": 0.001, key: value}))
    assert f"optimizer.{key} is {value}, but {name} has none" in said
    assert f"set optimizer.name to {owner}" in said


def test_nesterov_is_of_sgd_alone_and_adamw_wants_a_rate_of_its_own(recipe):
    said = refusal(recipe(optimizer={"name": "adamw", "lr": 0.001, "nesterov": True}))
    assert said.startswith("optimizer.nesterov needs optimizer.name sgd")
    assert "optimizer.lr is 1.6, the default for lars" in refusal(recipe(optimizer={"name": "adamw"}))


@pytest.mark.parametrize(
    ("view", "key"),
    [
        ({"size": 0}, "size"),
        ({"scale": [0.5, 1.2]}, "scale"),
        ({"scale": [0.9, 0.3]}, "scale"),
        ({"flip": 1.5}, "flip"),
        ({"solarize_p": -0.1}, "solarize_p"),
        ({"jitter": [0.4, 0.4, 0.4, 0.7]}, "hue"),
        ({"jitter": [-0.4, 0.4, 0.4, 0.1]}, "jitter"),
        ({"jitter": [math.nan, 0.4, 0.4, 0.1]}, "jitter"),
        ({"jitter": [0.4, math.inf, 0.4, 0.1]}, "jitter"),
        ({"blur_p": 0.5, "blur_sigma": [0.0, 0.0]}, "blur_sigma"),
        ({"blur_p": 0.5, "blur_sigma": [0.1, math.inf]}, "blur_sigma"),
        ({"blur_p": 0.5, "blur_sigma": [2.0, 0.1]}, "blur_sigma"),
        ({"blur_p": 0.5, "blur_sigma": [1e-46, 0.1]}, "blur_sigma"),  # 0 in float32
        ({"jitter": [0.4, 1e300, 0.4, 0.1]}, "jitter"),
        ({"size": 2, "blur_p": 0.5}, "a view has size 2, and blur and RandAugment need 3 px"),
        ({"size": 2, "randaugment": 1}, "a view has size 2, and blur and RandAugment need 3 px"),
    ],
)
def test_a_view_out_of_range_names_the_key(recipe, view, key):
    assert key in refusal(recipe(views={"large": [{"size": 8, "repeat": 2} | view]}))


def test_views_that_no_method_can_use_are_refused(recipe):
    assert "makes 3 views" in refusal(recipe(views={"large": [{"size": 8, "repeat": 3}]}))
    assert "differ in size" in refusal(recipe(views={"large": [{"size": 8}, {"size": 16}]}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no keys"),
        ("- 1\n- 2", "holds no keys"),
        ("epochs: [1", "is no YAML"),
        ("views: {large: [{size: 8}]}", "data is missing; give it, or a recipe that has it"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content, reason):
    (tmp_path / "bad.yaml").write_text(content)
    assert reason in refusal(str(tmp_path / "bad.yaml"))


def test_a_recipe_that_is_not_there_or_not_readable_as_text_is_named(tmp_path):
    assert f"there is no recipe '{tmp_path}/absent.yaml'" in refusal(str(tmp_path / "absent.yaml"))
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\r\n\xff\xfe\x00")
    assert "picture.yaml" in refusal(str(tmp_path / "picture.yaml"))


def test_flatten_spells_keys_as_the_command_line_does():
    nested = {"data": "x", "stream": {"normalization": {"mean": [0.5]}}, "epochs": 3}
    assert flatten(nested) == {"data": "x", "stream.normalization.mean": [0.5], "epochs": 3}


def test_a_shipped_recipe_of_another_command_is_told_as_one():
    for recipe, kind, words in (
        ("coke_digits", SemisupConfig, "quorum pretrain, not of quorum semisup"),
        ("protocon_digits", PretrainConfig, "quorum semisup, not of quorum pretrain"),
        ("coke_ratio", PretrainConfig, "quorum sweep, not of quorum pretrain"),
    ):
        with pytest.raises(UserError, match=f"^recipe {recipe} is one of {words}; use that command$"):
            read_recipe(recipe, kind)
