"""Recipes are called by name or path, and found from any folder together with what they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipelines.clustering.config import ClusterConfig
from pipelines.config.recipe import find_recipe, list_recipes, read_recipe, stored_text, stored_values
from pipelines.config.training_config import CONFIG_OF_COMMAND, PretrainConfig, SemisupConfig
from pipelines.errors import UserError
from tests.helpers.pages.words import settings_of
from tests.helpers.places import RECIPES
from tune.search.sweep_config import SweepConfig

SMALL = {"data": "d", "views": {"large": [{"size": 8}]}}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder that has nothing to do with the checkout."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, **values) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    return str(path)


@pytest.mark.parametrize("name", ["coke_digits", "sweeps/coke_ratio", "coke_ratio", "coke_digits.yaml"])
def test_a_shipped_recipe_is_found_by_name_from_any_folder(name):
    assert Path(find_recipe(name)).stem == Path(name).stem
    assert Path(find_recipe(name)).is_relative_to(RECIPES)


def test_a_file_goes_before_a_shipped_name_and_one_beside_before_one_here(tmp_path, elsewhere):
    here = write(elsewhere / "mine.yaml", **SMALL)
    assert find_recipe("mine.yaml") == "mine.yaml"
    assert find_recipe(here) == here
    near = write(tmp_path / "set" / "mine.yaml", **SMALL)
    assert find_recipe("mine.yaml", beside=str(tmp_path / "set" / "sweep.yaml")) == near
    assert find_recipe("mine.yaml", beside=str(tmp_path / "none" / "sweep.yaml")) == "mine.yaml"
    write(elsewhere / "coke_digits", **SMALL)
    assert find_recipe("coke_digits") == "coke_digits"


@pytest.mark.parametrize(("name", "near"), [("coke_digit", "coke_digits"), ("recipes/coke_digitz.yaml", "coke_digits")])
def test_a_recipe_that_is_not_there_is_named_with_the_nearest(name, near):
    with pytest.raises(UserError, match=f"there is no recipe '{name}'.*; nearest valid name: {near}"):
        find_recipe(name)


def test_a_folder_is_no_recipe_and_the_refusal_says_how_a_run_or_data_are_given(elsewhere):
    (elsewhere / "some").mkdir()
    with pytest.raises(UserError, match=r"^some is a folder, and no recipe; .* by their key, as run=some$"):
        find_recipe("some")


def test_each_shipped_recipe_is_listed_with_its_command_and_what_it_is_for():
    listed = {recipe.name: recipe for recipe in list_recipes()}
    assert len(listed) == len(list(RECIPES.rglob("*.yaml")))
    assert all(recipe.about for recipe in listed.values())
    commands = [listed[name].command for name in ("coke_digits", "protocon_digits", "sweeps/digits")]
    assert commands == ["pretrain", "semisup", "sweep"]
    assert "handwritten digits" in listed["coke_digits"].about
    for name, recipe in listed.items():
        kind = SweepConfig if recipe.command == "sweep" else CONFIG_OF_COMMAND[recipe.command]
        assert read_recipe(name, kind)


def test_paths_in_a_recipe_are_seen_from_it_first_and_then_from_here(tmp_path, elsewhere):
    given = SMALL | {"labels": "few.json", "init_from": "absent", "storage": "runs"}
    recipe = write(tmp_path / "set" / "r.yaml", **given)
    (tmp_path / "set" / "d").mkdir()
    (elsewhere / "d").mkdir()
    (elsewhere / "few.json").touch()
    config = read_recipe(recipe, SemisupConfig)
    assert config.data == str(tmp_path / "set" / "d")
    assert (config.labels, config.init_from, config.storage) == ("few.json", "absent", "runs")
    assert (
        read_recipe(recipe, SemisupConfig, settings_of(["--data", "d"])).data == "d"
    )  # on the command line it is seen from here


@pytest.mark.parametrize("place", ["s3://bucket/d", "/absolute/d"])
def test_absolute_places_stay(tmp_path, place):
    assert read_recipe(write(tmp_path / "r.yaml", **SMALL | {"data": place}), PretrainConfig).data == place


def test_a_clusterings_data_lie_beside_its_options(tmp_path):
    (tmp_path / "set" / "vectors").mkdir(parents=True)
    options = write(tmp_path / "set" / "c.yaml", data="vectors", to="out", num_clusters=3)
    config = read_recipe(options, ClusterConfig)
    assert (config.data, config.to) == (str(tmp_path / "set" / "vectors"), "out")


def test_a_sweep_finds_its_recipe_and_data_beside_it_or_by_name(tmp_path):
    (tmp_path / "set" / "d").mkdir(parents=True)
    base = write(tmp_path / "set" / "base.yaml", **SMALL)
    parts = {"kind": "pretrain", "name": "s", "space": {"ratio": {"grid": [0.4]}}, "settings": {"data": "d", "epochs": 2}}
    config = read_recipe(write(tmp_path / "set" / "s.yaml", recipe="base.yaml", **parts), SweepConfig)
    assert (config.recipe, config.settings) == (base, {"data": str(tmp_path / "set" / "d"), "epochs": 2})
    named = read_recipe(write(tmp_path / "set" / "t.yaml", recipe="coke_digits", **parts), SweepConfig)
    assert named.recipe == str(RECIPES / "coke_digits.yaml")
    with pytest.raises(UserError, match="there is no recipe 'coke_digitz'"):
        read_recipe(write(tmp_path / "set" / "u.yaml", recipe="coke_digitz", **parts), SweepConfig)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs: 3\ndata: x\nepochs: 77\n", "key 'epochs' comes twice"), ("a: &a\n  b: *a\n", "refers to itself"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"), (f"epochs: {'9' * 5000}\n", "is no YAML"),
    ],
    ids=["twice", "itself", "deep", "long"],
)  # fmt: skip
def test_a_recipe_that_cannot_be_meant_is_refused_in_a_sentence(tmp_path, text, said):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_recipe(str(tmp_path / "r.yaml"), PretrainConfig)


def test_a_stored_configuration_that_was_edited_or_cut_is_refused(tmp_path):
    path, values = tmp_path / "config.yaml", {"data": "x", "epochs": 3, "seed": 7}
    path.write_bytes(stored_text(values))
    assert stored_values(str(path)) == values
    whole = path.read_text()
    for changed in (whole.replace("7", "8"), whole.rsplit("\n", 2)[0] + "\n", whole + "lanes: 4\n"):
        path.write_text(changed)
        with pytest.raises(UserError, match=r"config\.yaml was edited or is cut short; restore it"):
            stored_values(str(path))
    path.write_text(whole.partition("\n")[2])  # as version 0.1 stored it
    assert stored_values(str(path)) == values
    for emptied, said in (("{}", "is empty; restore it"), ("", "holds no keys"), ("data: [", "is no YAML")):
        path.write_text(emptied)
        with pytest.raises(UserError, match=rf"^configuration {re.escape(str(path))} {said}"):
            stored_values(str(path))
