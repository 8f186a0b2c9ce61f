"""A trained model from a run's folder, whichever version made the run."""

from __future__ import annotations

import pytest
import torch

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from pipelines.runs.trained_model import Trained, check_network, new_backbone
from tests.helpers.made_up_data import dataset
from tests.helpers.version_0_1 import unpack
from tests.helpers.words import settings_of


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


def test_weights_start_from_another_run_if_the_backbones_are_alike(old):
    config = read_recipe(
        "coke_digits", PretrainConfig, settings_of(["--backbone.name", "wrn-10-1", "--init_from", str(old / "coke")])
    )
    check_network(config)
    other = read_recipe(
        "coke_digits", PretrainConfig, settings_of(["--backbone.name", "wrn-16-1", "--init_from", str(old / "coke")])
    )
    with pytest.raises(UserError, match=r"has backbone 'wrn-10-1' \(stem auto.* does not fit this recipe's 'wrn-16-1'"):
        check_network(other)
    assert new_backbone(config).num_features == 64
