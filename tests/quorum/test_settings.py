"""A configuration from a recipe's name, a file, an object and keywords."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import algos.methods
import quorum
from pipelines.clustering.config import ClusterConfig
from pipelines.config.sections import OptimizerConfig
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from quorum.settings import build_config, placed, with_place
from tests.helpers.inputs.digit_shards import write_digits
from tune.search.sweep_config import SweepConfig


def made(config="coke_digits", settings=None, **keys):
    return build_config(PretrainConfig, config, settings, keys)


def test_a_recipes_name_a_file_and_an_object_say_the_same(tmp_path):
    by_name = made()
    assert made(Path(quorum.__file__).parent / "recipes" / "coke_digits.yaml") == by_name
    assert made(by_name) == by_name


def test_keywords_go_over_the_recipe_and_dotted_settings_over_both():
    config = made(settings={"method.dim": 32, "epochs": 2}, data=Path("data/some"), epochs=5, method={"predictor_hidden": 16})
    assert (config.data, config.epochs, config.method.dim, config.method.predictor_hidden) == ("data/some", 2, 32, 16)
    assert config.method.num_clusters == made().method.num_clusters  # a mapping leaves the others of its section


def test_a_mapping_in_settings_sets_keys_of_a_section_as_one_in_keywords_does():
    given = {"optimizer": {"lr": 0.5}, "compute": {"workers": 2}, "backbone": {"options": {"depth": 3}}}
    assert made(settings=given) == made(**given)
    assert made(settings=given).optimizer.weight_decay == made().optimizer.weight_decay != OptimizerConfig().weight_decay
    with pytest.raises(UserError, match=r"unknown key 'optimizer\.lrr'; nearest valid name: optimizer\.lr"):
        made(settings={"optimizer": {"lrr": 0.5}})


def test_words_of_a_command_line_and_python_values_say_the_same():
    words = {"epochs": "3", "compute.gpu": "true", "method.num_clusters": "[9, 8]", "method.dual_lr": "null", "name": "12"}
    values = {"epochs": 3, "gpu": True, "method.num_clusters": [9, 8], "method.dual_lr": None, "name": "12"}
    assert made(settings=words) == made(settings=values)


def test_every_command_calls_workers_and_gpu_the_same():
    assert (made(workers=2).compute.workers, made(settings={"workers": 3}).compute.workers) == (2, 3)
    clusters = build_config(ClusterConfig, None, None, {"data": "x", "to": "y", "num_clusters": 3, "workers": 2})
    assert clusters.compute.workers == 2


def test_a_searched_space_is_replaced_whole():
    sweep = build_config(SweepConfig, "digits", None, {"space": {"K": {"grid": [20, 30]}}, "budget": {"trials": 1}})
    assert sweep.space == {"K": {"grid": [20, 30]}}
    assert sweep.budget.trials == 1


@pytest.mark.parametrize(
    ("config", "keys", "said"),
    [
        ("coke_digit", {}, "nearest valid name: coke_digits"),
        ("coke_digits", {"epoch": 3}, "unknown key 'epoch'; nearest valid name: epochs"),
        ("coke_digits", {"epochs": "three"}, "epochs"),
        ("coke_digits", {"method": {"dimm": 3}}, "unknown key 'method.dimm'"),
        (3, {}, "int is no configuration of this command"),
        ("coke_digits", {"data": pd.DataFrame({"a": [1]})}, "data is a value of type DataFrame; give a number, text, a list or"),
        ("coke_digits", {"method": {"dim": {3}}}, "dim"),
    ],
)
def test_what_is_not_valid_is_one_sentence(config, keys, said):
    with pytest.raises(UserError, match=said) as refused:
        made(config, **keys)
    assert "\n" not in str(refused.value)


def test_a_runs_folder_is_storage_and_name(tmp_path):
    assert placed(tmp_path / "runs" / "first") == {"storage": str(tmp_path / "runs"), "name": "first"}
    assert placed("s3://bucket/runs/first") == {"storage": "s3://bucket/runs", "name": "first"}
    assert placed("s3://bucket/runs/first?scheme=http") == {"storage": "s3://bucket/runs?scheme=http", "name": "first"}
    assert placed("first") == {"storage": ".", "name": "first"}
    assert placed("/first") == {"storage": "/", "name": "first"}
    assert placed(None) == {}
    for place in ("/", "s3://bucket", ""):
        with pytest.raises(UserError, match="no folder of a run"):
            placed(place)


def test_recipes_are_a_table():
    listed = quorum.recipes()
    assert {"coke_digits", "protocon_digits", "sweeps/coke_ratio"} <= set(listed.index)
    assert set(listed["command"]) == {"pretrain", "semisup", "sweep"}
    assert (listed["about"].str.len() > 10).all()


def test_a_method_of_ones_own_that_is_broken_is_said_where_recipes_are_listed(tmp_path, monkeypatch):
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "__init__.py").write_text("1 / 0")
    monkeypatch.setattr(algos.methods, "__path__", [*algos.methods.__path__, str(tmp_path)])
    with pytest.raises(UserError, match=r"made_up\.spec holds no SPEC of a method \(division by zero\); mend it"):
        quorum.recipes()


def test_a_place_is_given_once():
    with pytest.raises(UserError, match="give one of the two"):
        with_place("runs/first", {"name": "second"})
    assert with_place("runs/first", {"epochs": 3}) == {"storage": "runs", "name": "first", "epochs": 3}


def test_objects_stand_for_their_paths_and_sections_for_their_keys(tmp_path):
    data = quorum.DataSet(write_digits(tmp_path / "digits", 40, 20))
    config = made(settings={"init_from": tmp_path / "run"}, data=data, optimizer=OptimizerConfig(name="sgd", lr=0.5))
    assert (config.data, config.init_from) == (data.path, str(tmp_path / "run"))
    assert config.optimizer == OptimizerConfig(name="sgd", lr=0.5)


def test_a_value_that_does_nothing_is_told_to_whoever_gave_it(tmp_path, capsys):
    made(settings={"method.slots": 9})
    assert "method.slots does nothing while method.average_from is null" in capsys.readouterr().err
    mine = tmp_path / "mine.yaml"
    mine.write_text((Path(quorum.__file__).parent / "recipes" / "coke_digits.yaml").read_text() + "checkpoint: {keep_last: 3}\n")
    made(mine)
    assert capsys.readouterr().err == ""
    mine.write_text(mine.read_text().replace("dim: 64", "dim: 64\n  slots: 9"))
    again = made(mine)
    assert "method.slots does nothing" in capsys.readouterr().err
    made(again.to_dict())  # as a run stored it, to go on with
    made(settings={"method.predictor_weight": 0.0})  # which makes the recipe's own width idle
    assert capsys.readouterr().err == ""
