"""`quorum probe` on real digits: a frozen backbone and one that is trained, few labels, other worker counts, a resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

import quorum
from pipelines.config.training_config import ProbeConfig
from pipelines.errors import UserError
from pipelines.probing.launch import Probing
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import Trained
from pipelines.tracking.figures import is_known
from quorum.cli import main
from tests.helpers.runs.killed_runs import differing, store_of

pytestmark = pytest.mark.ray

QUICK = {"epochs": 2, "lr": 10.0, "crop": [0.6, 1.0], "flip": 0.0}


def network_of(folder: Path) -> dict[str, torch.Tensor]:
    store = store_of(folder)
    return store.load(store.latest())["network"]


@pytest.fixture(scope="module")
def linear(straight) -> quorum.Probe:
    """A linear probe on all labels."""
    return quorum.probe(run=str(straight), to=str(straight.parent / "linear"), **QUICK)


def test_a_probe_learns_its_classes_and_is_recorded_with_the_run(straight, linear, capsys):
    assert linear.scores["test/probe_top1"] > 0.5
    assert {"test/probe_top5", "test/probe_macro", "test/probe_ece"} <= set(linear.scores.index)
    assert linear.classes["rows"].sum() == 359
    assert (linear.classes["accuracy"] * linear.classes["rows"]).sum() / 359 == pytest.approx(linear.scores["test/probe_top1"])
    judged, own = Run.open(str(straight)).address, Run.open(linear.path).address
    assert own.run_id != judged.run_id
    recorded = MlflowClient(judged.uri).get_run(judged.run_id).data.metrics
    assert recorded["evaluate/test/probe_top1"] == linear.scores["test/probe_top1"]
    curves = MlflowClient(own.uri).get_run(own.run_id)
    assert curves.info.status == "FINISHED"
    assert all(is_known(name) for name in curves.data.metrics)
    assert len(MlflowClient(own.uri).get_metric_history(own.run_id, "train/epoch_loss")) == 2
    assert set(network_of(Path(linear.path))) == {"0.weight", "0.bias"}  # the backbone is the run's own


@pytest.mark.slow
def test_any_number_of_workers_learns_the_same(straight, linear, tmp_path):
    for name, more in {"linear": {}, "tuned": {"finetune": True, "per_class": 20}}.items():
        one, three = (
            quorum.probe(run=str(straight), to=str(tmp_path / f"{name}-{workers}"), workers=workers, **more, **QUICK)
            for workers in (1, 3)
        )
        first, second = (network_of(Path(probe.path)) for probe in (one, three))
        for key, tensor in first.items():
            torch.testing.assert_close(tensor, second[key], atol=1e-4, rtol=1e-4)
        assert one.scores.to_dict() == pytest.approx(three.scores.to_dict(), abs=6e-3)


@pytest.mark.slow
def test_a_probe_that_was_cut_off_is_gone_on_with_by_other_workers(straight, linear, tmp_path):
    copy = tmp_path / "cut-off"
    shutil.copytree(linear.path, copy, ignore=shutil.ignore_patterns("ray", "checkpoints"))
    with pytest.raises(UserError, match="already holds a probe"):
        quorum.probe(run=str(straight), to=str(copy))
    main(["probe", "--resume", str(copy), "--workers", "2"])
    torch.testing.assert_close(network_of(copy)["0.weight"], network_of(Path(linear.path))["0.weight"], atol=1e-4, rtol=1e-4)
    before = network_of(copy)
    main(["probe", "--resume", str(copy)])  # nothing is left
    assert differing(before, network_of(copy)) == []


@pytest.mark.slow
def test_fine_tuning_learns_from_the_few_that_are_named_and_trains_the_backbone(straight, tmp_path, capsys):
    chosen = quorum.labels(_data(straight), per_class=20, to=tmp_path / "few.json")
    main(["probe", str(straight), "--finetune", "--labels", chosen.path, "--to", str(tmp_path / "few"), "--epochs", "2",
          "--backbone-lr", "0.05"])  # fmt: skip
    shown = capsys.readouterr()
    assert "test/finetune_top1" in shown.out
    assert "finetune: classes" in shown.out
    network, kept = network_of(tmp_path / "few"), json.loads((tmp_path / "few" / "labels.json").read_text())
    assert len(kept["ids"]) == 200
    assert not (tmp_path / "few" / "images").exists()
    before = {f"backbone.{name}": tensor for name, tensor in quorum.open_run(straight).backbone().state_dict().items()}
    moved = [name for name in before if not torch.equal(before[name], network[name])]
    assert any(name.endswith("weight") for name in moved)
    assert not any("running" in name for name in moved)  # BatchNorm keeps its statistics


def _data(run: Path) -> str:
    return str(Trained.open(str(run)).dataset.location)


def test_probes_on_few_labels_are_recorded_apart_from_those_on_all_and_from_each_other(straight):
    found = []
    for keys in ({}, {"per_class": 3}, {"per_class": 3, "seed": 7}, {"per_class": 3, "untrained": True}):
        probing = Probing(ProbeConfig(run=str(straight), **keys), None)
        probing.check()
        assert is_known(f"{probing.prefix}/test/probe_top1")
        found.append(probing.prefix.rpartition("-")[0] or probing.prefix)
    few = "3_per_class__seed"
    assert found == ["evaluate", f"evaluate/{few}_1", f"evaluate/{few}_7", f"untrained/{few}_1"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "30 images: batches of 24, published 1,024; learning rates are scaled with that"),
        ({"batch_size": 64}, "30 images: batches of 24, asked for 64; learning rates are scaled with that"),
        ({"batch_size": 24}, ""),
    ],
)
def test_a_batch_that_is_smaller_than_asked_for_or_published_is_told(straight, capsys, given, said):
    Probing(ProbeConfig(run=str(straight), per_class=3, **given), None).check()
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"finetune": True, "lr": [0.1, 1.0]}, "fine-tuning trains one backbone"),
        ({"backbone_lr": 0.1}, "backbone_lr is given, but the backbone is frozen"),
        ({"per_class": 4, "fraction": 0.1}, "give one of them"),
        ({"lr": [0.1, -1.0]}, "give numbers above 0, at most"),
        ({"lr": [0.1, float("nan")]}, "give numbers above 0, at most"),
        ({"lr": float("inf")}, "give numbers above 0, at most"),
        ({"lr": [0.1, 1.0]}, "there is no labelled val split to choose by"),
        ({"workers": 9}, "lanes is 8"),
        ({"batch_size": 30}, "batch_size 30 is not a multiple of lanes 8"),
        ({"per_class": 100_000}, "100000 labels of class '0' are asked for"),
        ({"labels": "nowhere.json"}, "labels nowhere.json is not there"),
        ({"fraction": 2.0}, "fraction is 2.0"),
        ({"crop": [0.5]}, "crop is"),
        ({"crop": [0.9, 0.5]}, "crop is"),
        ({"flip": 1.5}, "a probability lies in"),
    ],
)
def test_what_cannot_work_is_refused_before_a_worker_starts(straight, keys, said):
    with pytest.raises(UserError, match=said):
        quorum.probe(run=str(straight), **keys)
    assert not (straight / "probes").exists()
