"""What a semi-supervised configuration refuses before anything starts."""

from __future__ import annotations

import pytest

from pipelines.config.method_configs import CONFIG_OF_COMMAND, PretrainConfig, SemisupConfig
from pipelines.config.recipe import read_recipe
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.files.location import Location
from tests.helpers.made_up_data import dataset
from tests.helpers.places import PROTOCON_DIGITS as RECIPE


@pytest.fixture
def labels(tmp_path) -> str:
    """A selection that fits `dataset()`."""
    place = str(tmp_path / "few.json")
    Selection(dataset().fingerprint, "train", ["a"], [3, 4], [0, 0], "by hand").save(place)
    return place


def read(labels: str, *overrides: str) -> SemisupConfig:
    return read_recipe(RECIPE, SemisupConfig, ["--labels", labels, *overrides])


def test_a_step_takes_mu_times_b_rows_and_b_labelled_ones(labels):
    config = read(labels, "--batch_size", "16", "--unlabelled_ratio", "5")
    config.check(dataset())
    assert (config.step_rows, config.step_labelled) == (80, 16)
    assert (config.shape.lane_rows, config.shape.lane_labelled) == (10, 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--batch_size", "200"], "takes 1400 unlabelled images a step, but split 'train' has 1000"),
        (["--method.num_clusters", "[501]"], "asks for 501 clusters of 1000 training images"),
        (["--method.instances_per_cluster", "501"], "fewer than 2 clusters of 1000"),
        (["--accumulate", "3"], "accumulate 3 does not divide the 8 labelled images that one of 1 workers has"),
        (["--compute.workers", "9"], "data.lanes"),
    ],
)
def test_what_data_and_settings_cannot_do_together(labels, overrides, message):
    with pytest.raises(UserError, match=message):
        read(labels, *overrides).check(dataset())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--method.confidence_threshold", "0"], r"method.confidence_threshold is 0.0; it must lie in \(0, 1\]"),
        (["--unlabelled_ratio", "0"], "unlabelled_ratio is 0"),
        (["--views.large", "[{size: 8}]"], "exactly two large rules"),
        (["--views.small", "[{size: 4}]"], "exactly two large rules"),
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
    with pytest.raises(UserError, match=r"12 labelled images a step are not a multiple of data.lanes 8"):
        read(labels, "--batch_size", "12", "--unlabelled_ratio", "2").check(dataset())


def test_labels_of_other_shards_are_refused(labels):
    with pytest.raises(UserError, match="fingerprint"):
        read(labels).check(dataset(rows=999))


def test_every_worker_count_of_an_elastic_run_must_divide(labels):
    elastic = ["--compute.workers", "3", "--compute.min_workers", "1", "--accumulate", "2", "--batch_size", "8"]
    with pytest.raises(UserError, match="does not divide the 3 labelled images that one of 3 workers"):
        read(labels, *elastic).check(dataset())


def test_scores_by_all_training_labels_are_off_unless_asked_for(labels):
    assert read(labels).monitor.knn_epochs == 0


def test_a_run_keeps_its_own_copy_of_the_labels(labels, tmp_path):
    adopted = read(labels).adopt(Location.of(tmp_path / "run").make())
    assert adopted.labels == str(tmp_path / "run" / "labels.json")
    assert adopted.selection == Selection.open(labels)


def test_each_kind_is_found_by_its_command():
    assert {"pretrain": PretrainConfig, "semisup": SemisupConfig} == CONFIG_OF_COMMAND
