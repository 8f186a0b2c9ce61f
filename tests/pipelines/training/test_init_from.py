"""A run from weights of others: each worker starts from them bit by bit, and so does what comes after the file is gone."""

from __future__ import annotations

import pytest
import timm
import torch
from mlflow.tracking import MlflowClient

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.jobs.worker import Worker
from pipelines.runs.initial_weights import InitialWeights
from pipelines.runs.run_folder import INITIAL_FILE
from pipelines.runs.trained_model import Trained
from pipelines.training.launch import train
from pipelines.training.session import Session, TrainingJob
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS
from tests.helpers.runs.small_runs import words

pytestmark = pytest.mark.ray
NETWORK = (
    "--backbone.name", "timm/test_resnet", "--backbone.stem", "imagenet", "--method.num_clusters", "[8]", "--epochs", "1",
    "--batch_size", "256", "--monitor.knn_epochs", "0", "--monitor.picture_epochs", "0",
)  # fmt: skip


@pytest.fixture
def library(tmp_path):
    """A file of timm's weights, and what is in it."""
    torch.manual_seed(3)
    weights = timm.create_model("test_resnet").state_dict()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}}, tmp_path / "whole.pth.tar")
    return tmp_path / "whole.pth.tar", weights


def same(backbone, weights):
    return all(torch.equal(tensor, weights[name]) for name, tensor in backbone.state_dict().items())


@pytest.mark.slow
def test_a_run_from_a_file_goes_on_without_it(digits, library, tmp_path, capsys):
    place, weights = library
    given = words(digits, tmp_path, "started", *NETWORK, "--init_from", str(place))
    config = read_recipe(COKE_DIGITS, PretrainConfig, settings_of(given))
    run = train(config)
    assert f"init_from {place}: left out is its classifier (fc.bias, fc.weight)\n" in capsys.readouterr().err
    kept = InitialWeights.kept(run.location)
    params = MlflowClient(run.address.uri).get_run(run.address.run_id).data.params
    assert (params["init_from"], params["init_from.source"]) == (str(place), str(place))
    assert params["init_from.digest"] == kept.digest
    place.unlink()
    assert same(Trained.open(str(run.location)).method(untrained=True).backbone, weights)
    assert not same(Trained.open(str(run.location)).method().backbone, weights)
    assert train(config, resume=str(run.location)).address == run.address

    fresh = tmp_path / "fresh"
    kept.keep(Location.of(fresh))
    torch.set_num_threads(1)
    job = TrainingJob(config, Dataset.open(digits), str(fresh), record=None, identity={"data": "none"})
    assert same(Session(job, Worker(0, 1, 1, torch.device("cpu"))).method.backbone, weights)
    (fresh / INITIAL_FILE).write_bytes(b"")
    with pytest.raises(UserError, match=r"initial\.safetensors is empty"):
        Session(job, Worker(0, 1, 1, torch.device("cpu")))


def test_nothing_is_made_for_weights_that_do_not_fit(digits, library, tmp_path):
    given = words(digits, tmp_path, "misfit", *NETWORK, "--backbone.name", "timm/resnet10t", "--init_from", str(library[0]))
    with pytest.raises(UserError, match=r"does not fit the recipe's backbone 'timm/resnet10t' .* below state_dict/module\."):
        train(read_recipe(COKE_DIGITS, PretrainConfig, settings_of(given)))
    assert not (tmp_path / "misfit").exists()
