"""What version 0.1 stored is read under today's names; nobody is to write its spellings any more."""

from __future__ import annotations

import pytest
import yaml

from pipelines.clustering.config import ClusterConfig
from pipelines.config.old_configs import RENAMED, converted, converted_parameters, new_spelling, refuse_old
from pipelines.config.plain_values import flatten
from pipelines.config.recipe import read_recipe, read_stored
from pipelines.config.sections import OptimizerConfig
from pipelines.config.training_config import PretrainConfig, SemisupConfig
from pipelines.errors import UserError
from tests.helpers.pages.words import settings_of
from tests.helpers.runs.version_0_1 import unpack
from tune.search.space import recipe_key
from tune.search.sweep_config import SweepConfig


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder `outputs` as version 0.1 left it."""
    return unpack(tmp_path_factory.mktemp("old")) / "outputs"


def test_a_run_of_coke_keeps_all_that_it_was_told(old):
    stored = yaml.safe_load((old / "coke" / "config.yaml").read_text())
    config = read_stored(str(old / "coke" / "config.yaml"), PretrainConfig)
    assert config.data == stored["data"]["shards"]
    assert (config.stream.lanes, config.stream.window) == (stored["data"]["lanes"], stored["data"]["window"])
    assert config.stream.normalization.mean == stored["data"]["normalization"]["mean"]
    assert config.method.name == "coke"
    mine, theirs = flatten(config.to_dict()), flatten(stored)
    assert {key: mine[new_spelling(key) or key] for key in theirs} == theirs
    new = {"method.name", "method.max_size_ratio", "monitor.split", "compute.grace"}
    new |= {"stream.background", "stream.pixels", "stream.decode"}
    new |= {f"optimizer.{key}" for key in ("betas", "eps", "final_weight_decay", "layer_decay", "clip_norm")}
    new |= {"monitor.feature_epochs", "monitor.feature_images", "tracking.models", "tracking.system_seconds"}
    new |= {"method.assignment", "method.sinkhorn_epsilon", "method.sinkhorn_iterations", "method.sinkhorn_queue"}
    assert mine.keys() == {new_spelling(key) or key for key in theirs} | new
    assert config.method.assignment == "constrained"
    assert config.stream.pixels == 1  # its images are shown as it began with them


def test_a_run_of_protocon_keeps_its_labels(old):
    config = read_stored(str(old / "few" / "config.yaml"), SemisupConfig)
    assert config.labels == str(old / "few" / "labels.json")
    assert (config.method.name, config.method.instances_per_cluster) == ("protocon", 48)


def test_a_clustering_has_its_workers_in_a_section(old):
    stored = yaml.safe_load((old / "clusters" / "config.yaml").read_text())
    config = read_stored(str(old / "clusters" / "config.yaml"), ClusterConfig)
    assert config.data == stored["embeddings"]
    assert (
        vars(config.compute).items()
        >= {key: stored[key] for key in ("workers", "gpu", "cpus_per_worker", "max_failures")}.items()
    )
    assert (config.exact, config.passes, config.heads) == (True, 2, [10])


def test_a_sweep_and_its_base_are_read(old):
    config = read_stored(str(old / "small" / "sweep.yaml"), SweepConfig)
    assert (config.recipe, config.space) == ("small_base.yaml", {"ratio": {"grid": [0.0, 0.4]}})
    assert read_stored(str(old / "small" / "base.yaml"), PretrainConfig).epochs == 2


def test_what_is_stored_today_is_left_as_it_is(old):
    config = read_stored(str(old / "coke" / "config.yaml"), PretrainConfig)
    assert converted(config.to_dict()) == config.to_dict()


def test_a_stored_run_of_sgd_may_have_any_trust_coefficient_which_did_nothing():
    stored = {"method": {"name": "coke"}, "optimizer": {"name": "sgd", "lr": 0.1, "trust_coefficient": 0.02}}
    assert converted(stored)["optimizer"] == {"name": "sgd", "lr": 0.1, "trust_coefficient": 0.001}
    assert OptimizerConfig(**converted(stored)["optimizer"]).lr == 0.1
    lars = {"method": {"name": "coke"}, "optimizer": {"name": "lars", "trust_coefficient": 0.02}}
    assert converted(lars)["optimizer"]["trust_coefficient"] == 0.02


def test_a_stored_run_whose_name_or_address_was_an_empty_text_has_none(tmp_path):
    values = "{data: d, views: {large: [{size: 8}]}, name: '', tracking: {uri: ''}, method: {name: coke}}"
    (tmp_path / "config.yaml").write_text(values)
    config = read_stored(str(tmp_path / "config.yaml"), PretrainConfig)
    assert (config.name, config.tracking.uri) == (None, None)


def test_a_sweep_that_varied_an_old_key_sets_the_new_one():
    assert recipe_key("data.window", "pretrain") == "stream.window"


def test_parameters_of_recorded_runs_have_todays_names():
    recorded = {"data.shards": "/a", "data.rows": "9", "data.normalization.mean": "[0.5]", "method.num_clusters": "[3]"}
    expected = {"data": "/a", "data.rows": "9", "stream.normalization.mean": "[0.5]", "method.num_clusters": "[3]"}
    assert converted_parameters(recorded) == expected | {"method.name": "coke"}
    few = converted_parameters({"method.num_clusters": "[3]", "method.refine_weight": "0.8"})
    assert few["method.name"] == "protocon"
    assert converted_parameters({"workers": "2", "num_clusters": "9"}) == {"compute.workers": "2", "num_clusters": "9"}


@pytest.mark.parametrize(("old_key", "new_key"), RENAMED.items())
def test_every_old_key_is_refused_with_the_new_one(old_key, new_key):
    with pytest.raises(UserError, match=f"^recipe x: {old_key} is {new_key} now$"):
        refuse_old(["epochs", old_key], "recipe x: ")
    assert new_spelling(f"{old_key}.below") == f"{new_key}.below"
    assert new_spelling(f"{old_key}_else") is None


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        ("data: {shards: data/digits}\nviews: {large: [{size: 8}]}", PretrainConfig, "data.shards is data now"),
        ("data: {lanes: 8}\nviews: {large: [{size: 8}]}", PretrainConfig, "data.lanes is stream.lanes now"),
        ("data: {normalization: {mean: [0.5]}}", PretrainConfig, "data.normalization.mean is stream.normalization.mean now"),
        ("embeddings: x\nto: y\nnum_clusters: 3", ClusterConfig, "embeddings is data now"),
        ("data: x\nto: y\nnum_clusters: 3\nworkers: 2", ClusterConfig, "workers is compute.workers now"),
        ("kind: pretrain\nsettings: {data.shards: x}", SweepConfig, "settings: data.shards is data now"),
        ("kind: pretrain\nspace: {data.window: {grid: [1]}}", SweepConfig, "space: data.window is stream.window now"),
    ],
)
def test_a_recipe_in_the_old_spelling_is_refused_with_the_new_one(tmp_path, content, kind, said):
    (tmp_path / "old.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        read_recipe(str(tmp_path / "old.yaml"), kind)
    assert str(error.value) == f"recipe {tmp_path}/old.yaml: {said}"


@pytest.mark.parametrize("words", [["--data.shards", "x"], ["--data.lanes=4"], ["--embeddings", "x"]])
def test_an_option_in_the_old_spelling_is_refused_with_the_new_one(words):
    key = words[0].removeprefix("--").partition("=")[0]
    with pytest.raises(UserError, match=f"^{key} is {RENAMED[key]} now$"):
        read_recipe("coke_digits", PretrainConfig, settings_of(words))


def test_options_that_only_training_has_are_none_of_a_clustering(tmp_path):
    (tmp_path / "c.yaml").write_text("data: x\nto: y\nnum_clusters: 3\ncompute: {precision: bf16}\n")
    with pytest.raises(UserError, match=r"unknown key 'compute\.precision'"):
        read_recipe(str(tmp_path / "c.yaml"), ClusterConfig)


def test_a_clustering_from_before_working_copies_goes_on_with_the_batches_of_its_files(tmp_path):
    (tmp_path / "config.yaml").write_text("data: x\nto: y\nnum_clusters: 3\n")
    assert read_stored(str(tmp_path / "config.yaml"), ClusterConfig).copy == "never"
    assert read_recipe(str(tmp_path / "config.yaml"), ClusterConfig).copy == "auto"
    (tmp_path / "config.yaml").write_text("data: x\nto: y\nnum_clusters: 3\ncopy: always\n")
    assert read_stored(str(tmp_path / "config.yaml"), ClusterConfig).copy == "always"


@pytest.mark.parametrize("blank", ["''", "' '"])
def test_a_stored_clustering_whose_name_was_an_empty_text_has_none(tmp_path, blank):
    (tmp_path / "config.yaml").write_text(f"data: x\nto: y\nnum_clusters: 3\nname: {blank}\n")
    assert read_stored(str(tmp_path / "config.yaml"), ClusterConfig).name is None
