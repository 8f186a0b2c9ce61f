"""What a training configuration refuses with given data before anything starts, and what follows from it."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

import algos.methods
from algos.distributed.nodes import Node
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import CONFIG_OF_COMMAND, PretrainConfig, SemisupConfig
from pipelines.config.training_plan import (
    build_method,
    check_training,
    head_sizes,
    step_labelled,
    step_rows,
    stream_shape,
    training_setup,
)  # fmt: skip
from pipelines.config.typed_options import from_values
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.runs.training_inputs import open_selection
from pipelines.views.view_config import ViewConfig, Views
from tests.helpers.inputs.made_up_data import dataset
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS, PROTOCON_DIGITS
from tests.helpers.runs.made_up_method import write_method
from tests.helpers.runs.method_training import Flat


@pytest.fixture
def labels(tmp_path) -> str:
    """A selection that fits `dataset()`."""
    place = str(tmp_path / "few.json")
    Selection(dataset().fingerprint, "train", ["a"], [3, 4], [0, 0], "by hand").save(place)
    return place


def read(labels: str, *overrides: str) -> SemisupConfig:
    return read_recipe(PROTOCON_DIGITS, SemisupConfig, settings_of(["--labels", labels, *overrides]))


def check(config, data=None) -> None:
    check_training(config, data or dataset(), open_selection(config))


def test_a_step_takes_mu_times_b_rows_and_b_labelled_ones(labels):
    config = read(labels, "--batch_size", "16", "--unlabelled_ratio", "5")
    check(config)
    assert (step_rows(config), step_labelled(config)) == (80, 16)
    assert (stream_shape(config).lane_rows, stream_shape(config).lane_labelled) == (10, 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--batch_size", "200"], "takes 1400 unlabelled images a step, but split 'train' has 1000"),
        (["--method.num_clusters", "[501]"], "asks for 501 clusters of 1000 training images"),
        (["--method.instances_per_cluster", "501"], "fewer than 2 clusters of 1000"),
        (["--accumulate", "3"], "accumulate 3 does not divide the 8 labelled images that one of 1 workers has"),
        (["--compute.workers", "9"], "stream.lanes"),
        (["--views.large", "[{size: 8}]"], "exactly two large rules"),
        (["--views.small", "[{size: 4}]"], "exactly two large rules"),
    ],
)
def test_what_data_and_semi_supervised_settings_cannot_do_together(labels, overrides, message):
    with pytest.raises(UserError, match=message):
        check(read(labels, *overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--method.confidence_threshold", "0"], r"method.confidence_threshold is 0.0; it must lie in \(0, 1\]"),
        (["--unlabelled_ratio", "0"], "unlabelled_ratio is 0"),
        (["--views.large", "[{size: 8, pad: 8}, {size: 8}]"], "pad 8 of size 8"),
        (["--views.large", "[{size: 8, magnitude: 11}, {size: 8}]"], "magnitude 11"),
        (["--views.large", "[{size: 8, cutout: 1.0}, {size: 8}]"], "cutout 1.0"),
        (["--monitor.accuracy_epochs", "-1"], "monitor.accuracy_epochs is -1"),
    ],
)
def test_values_out_of_range(labels, overrides, message):
    with pytest.raises(UserError, match=message):
        read(labels, *overrides)


def test_labelled_rows_must_be_shared_by_the_lanes(labels):
    with pytest.raises(UserError, match=r"12 labelled images a step are not a multiple of stream.lanes 8"):
        check(read(labels, "--batch_size", "12", "--unlabelled_ratio", "2"))


def test_labels_of_other_shards_are_refused(labels):
    with pytest.raises(UserError, match="fingerprint"):
        check(read(labels), dataset(rows=999))


def test_every_worker_count_of_an_elastic_run_must_divide(labels):
    elastic = ["--compute.workers", "3", "--compute.min_workers", "1", "--accumulate", "2", "--batch_size", "8"]
    with pytest.raises(UserError, match="does not divide the 3 labelled images that one of 3 workers"):
        check(read(labels, *elastic))


def test_scores_by_all_training_labels_are_off_unless_asked_for(labels):
    assert read(labels).monitor.knn_epochs == 0


def test_each_kind_is_found_by_its_command():
    assert {"pretrain": PretrainConfig, "semisup": SemisupConfig} == CONFIG_OF_COMMAND


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--batch_size", "30"], "multiple of stream.lanes"),
        (["--batch_size", "2048"], "exceeds the 1000 images"),
        (["--compute.workers", "9"], "stream.lanes"),
        (["--accumulate", "32"], "fewer than 2 rows"),
        (["--method.num_clusters", "[1001]"], "1000 training images"),
        (["--method.average_from", "3"], "one view"),
        (["--stream.split", "trian"], "nearest valid name: train"),
    ],
)
def test_what_data_and_settings_cannot_do_together(overrides, message):
    with pytest.raises(UserError, match=message):
        check_training(read_recipe(COKE_DIGITS, PretrainConfig, settings_of(overrides)), dataset(), None)


def test_scores_need_labels():
    with pytest.raises(UserError, match="no labels"):
        check_training(read_recipe(COKE_DIGITS, PretrainConfig), dataset(labelled=0), None)


def test_a_method_that_makes_no_heads_of_so_few_images_says_so(labels):
    assert head_sizes(read(labels), 960) == [20]
    with pytest.raises(UserError, match="fewer than 2 clusters of 90"):
        head_sizes(read(labels), 90)


def test_a_method_that_nothing_else_names_is_configured_checked_and_built(tmp_path, monkeypatch):
    monkeypatch.setattr(algos.methods, "__path__", [*algos.methods.__path__, str(write_method(tmp_path))])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    config = read_recipe(mean_recipe(tmp_path), PretrainConfig, settings_of(["--method.weight", "3"]))
    assert config.to_dict()["method"] == {"name": "mean", "weight": 3.0}
    assert from_values(config.to_dict(), PretrainConfig) == config
    assert head_sizes(config, 1000) == [100]
    check_training(config, dataset(), None)
    settings, _, setup = build_method(config, nn.Identity(), dataset(), None)
    assert (settings.weight, setup.num_instances, setup.batch_size) == (3.0, 1000, 64)
    with pytest.raises(UserError, match="method mean takes one view"):
        check_training(replace(config, views=Views([ViewConfig(8, repeat=2)])), dataset(), None)
    with pytest.raises(UserError, match=r"method\.weight is -1"):
        read_recipe(mean_recipe(tmp_path), PretrainConfig, settings_of(["--method.weight", "-1"]))
    with pytest.raises(UserError, match=r"unknown key 'method\.dim'"):
        read_recipe(mean_recipe(tmp_path), PretrainConfig, settings_of(["--method.dim", "8"]))


def test_what_is_remembered_of_more_images_than_fit_a_node_is_refused_with_its_size():
    config = read_recipe(COKE_DIGITS, PretrainConfig, settings_of(["--data", "x", "--method.num_clusters", "[30, 40, 50]"]))
    said = (
        "what is remembered of 1,000,000,000 images takes 12.0 GB on each node, and 8.1 GB are free there; "
        "use nodes with more memory, or a method with fewer heads (method.num_clusters)"
    )
    with pytest.raises(UserError, match=re.escape(said)):
        build_method(config, Flat(), dataset(10**9), None, Node.of_its_own(int(8.1e9)))


def test_how_many_rows_of_each_class_are_labelled_reaches_the_method(tmp_path):
    selection = Selection(dataset().fingerprint, "train", ["a", "b", "c"], [3, 4, 9, 12], [0, 2, 0, 0], "by hand")
    setup = training_setup(read("FILE"), dataset(), selection)
    assert (setup.label_counts, setup.unlabelled_classes) == ((3, 0, 1), (1,))


def mean_recipe(folder: Path) -> str:
    (folder / "mean.yaml").write_text("data: somewhere\nviews: {large: [{size: 8}]}\nmethod: {name: mean}\nbatch_size: 64\n")
    return str(folder / "mean.yaml")


@pytest.mark.parametrize(
    ("split", "said"), [("train", "monitor.split is 'train', which is trained on"), ("vall", "no split 'vall'")]
)
def test_scores_of_what_is_trained_on_or_is_not_there_are_refused(labels, split, said):
    with pytest.raises(UserError, match=said):
        check(read(labels, "--monitor.split", split))
