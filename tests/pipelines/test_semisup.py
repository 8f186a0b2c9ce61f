"""ProtoCon's job on real digits, through Ray Data, Ray Train and a real MLflow store: figures, stops, workers, hidden labels."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow.tracking import MlflowClient
from safetensors import safe_open

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig, SemisupConfig
from pipelines.datasets.image_shards import Dataset, Split
from pipelines.datasets.label_selection import Selection, choose_listed, choose_per_class
from pipelines.datasets.shard_files import Shard, write_shard
from pipelines.errors import UserError
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.export import export
from pipelines.files.location import Location
from pipelines.ingest.sources.digits import DigitsSource
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import Trained
from pipelines.tracking.figures import is_known
from pipelines.training.launch import train
from quorum.cli import main
from tests.helpers.inputs.digit_shards import write_named
from tests.helpers.pages.words import settings_of
from tests.helpers.places import RECIPES
from tests.helpers.runs.killed_runs import differing, final_state, kill_and_resume, learned

pytestmark = [pytest.mark.ray, pytest.mark.job]

SMALL = [
    "--backbone.name", "wrn-10-1", "--method.dim", "16", "--method.refine_from", "1",
    "--method.confidence_threshold", "0.5", "--epochs", "3", "--batch_size", "16", "--checkpoint.every_steps", "5",
    "--checkpoint.keep_last", "50", "--monitor.log_steps", "5", "--monitor.picture_epochs", "0", "--compute.threads", "1",
]  # fmt: skip
STEPS, EPOCHS = 1438 // (16 * 7), 3


def config(digits: str, labels: str, storage: Path, name: str, *more: str) -> SemisupConfig:
    given = ["--data", digits, "--labels", labels, "--storage", str(storage), "--name", name]
    return read_recipe(str(RECIPES / "protocon_digits.yaml"), SemisupConfig, settings_of([*given, *SMALL, *more]))


@pytest.fixture(scope="module")
def labels(digits, tmp_path_factory) -> str:
    place = str(tmp_path_factory.mktemp("labels") / "few.json")
    choose_per_class(Dataset.open(digits), "train", 4, seed=1).save(place)
    return place


@pytest.fixture(scope="module")
def straight(digits, labels, tmp_path_factory) -> Path:
    """A run that was never stopped."""
    storage = tmp_path_factory.mktemp("semisup")
    train(config(digits, labels, storage, "straight"))
    return storage / "straight"


def test_mlflow_has_the_figures_settings_and_pictures(straight):
    address = Run.open(str(straight)).address
    client = MlflowClient(address.uri)
    run = client.get_run(address.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["kind"] == "semisup"
    assert (run.data.params["labels.count"], run.data.params["labels.rule"]) == ("40", "4 per class, seed 1")
    expected = {
        "train/loss", "train/epoch_loss", "test/accuracy", "test/accuracy_ema", "train/loss_labelled", "train/loss_unlabelled",
        "train/loss_prototype_labelled",
        "train/loss_prototype_unlabelled", "train/loss_consistency", "pseudo_labels/reliable_rate",
        "pseudo_labels/refined_change", "pseudo_labels/accuracy_classifier",
        "pseudo_labels/accuracy_cluster", "pseudo_labels/accuracy_refined", "pseudo_labels/accuracy_reliable",
        "pseudo_labels/coverage", "clusters/head0/purity",
        "clusters/head0/nmi", "clusters/head0/certificate_slack", "clusters/head0/smallest", "stream/images_per_second",
    }  # fmt: skip
    assert expected <= run.data.metrics.keys()
    assert all(is_known(name) for name in run.data.metrics)
    assert len(client.get_metric_history(address.run_id, "test/accuracy_ema")) == 3
    assert run.data.metrics["test/accuracy"] > 0.3
    pictures = {Path(file.path).name for file in client.list_artifacts(address.run_id, "pictures")}
    assert {"prototypes-0002.png", "pseudo-labels-0002.png", "refined-0002.png", "clusters-0002.png"} <= pictures


@pytest.mark.slow
def test_a_class_without_an_image_is_trained_around(local_ray, tmp_path):
    scans = DigitsSource().listing()
    samples, classes = scans.samples[:300], [*scans.classes, "eleven"]
    data = write_named(
        tmp_path / "data", [f"{one.key}.png" for one in samples], [int(one.label or 0) for one in samples], classes
    )
    place = str(tmp_path / "few.json")
    choose_per_class(data, "train", 4, seed=1).save(place)
    small = ["--epochs", "2", "--method.alignment", "window", "--method.confidence_threshold", "0.2"]
    made = train(config(str(data.location), place, tmp_path, "around", *small))
    knowledge = Trained.open(str(made.location)).method().knowledge()
    seen = knowledge.clusters[0] >= 0
    assert seen.sum() >= 224  # the rows of an epoch
    for name in ("classifier", "refined"):
        assert set(knowledge.classes[name][seen].tolist()) <= set(range(10))
    losses = [entry["values"]["train/epoch_loss"] for entry in made.history() if "train/epoch_loss" in entry.get("values", {})]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


@pytest.mark.slow
def test_a_killed_run_resumes_in_mid_epoch_to_the_same_bits(straight, digits, labels):
    killed = straight.parent / "killed"
    given = ["--data", digits, "--labels", labels, "--storage", str(killed.parent), "--name", "killed"]
    kill_and_resume(["semisup"], ["--config", str(RECIPES / "protocon_digits.yaml"), *given, *SMALL], killed, STEPS + 5)
    assert differing(learned(final_state(straight, EPOCHS)), learned(final_state(killed, EPOCHS))) == []


def blinded(digits: str, folder: Path, keep: set[int]) -> str:
    """The same shards with every label but a few replaced by a wrong one; the manifest's fingerprint follows the content."""
    source, location = Dataset.open(digits), Location.of(folder)
    splits = {}
    for name, split in source.splits.items():
        (location / name).make()
        shards: list[Shard] = []
        for shard in split.shards:
            table = pq.read_table(f"{digits}/{shard.path}")
            pairs = zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True)
            wrong = [label if name == "test" or row in keep else (label + 1) % 10 for row, label in pairs]
            column = table.schema.get_field_index("label")
            table = table.set_column(column, "label", pa.array(wrong, pa.int32()))
            shards.append(write_shard(location, shard.path, table, {"split": name}))
        splits[name] = Split(split.ids, shards, split.class_counts)
    Dataset(location, "blinded", source.classes, splits, 0).save()
    return str(folder)


@pytest.mark.slow
def test_labels_outside_the_selection_change_nothing(straight, digits, labels, tmp_path):
    seen = set(choose_per_class(Dataset.open(digits), "train", 4, seed=1).ids)
    shards = blinded(digits, tmp_path / "blinded", seen)
    lines = tmp_path / "seen.txt"
    lines.write_text("\n".join(str(row) for row in sorted(seen)))
    place = str(tmp_path / "seen.json")
    choose_listed(Dataset.open(shards), "train", str(lines)).save(place)
    train(config(shards, place, tmp_path, "blind"))
    mine, theirs = final_state(tmp_path / "blind", EPOCHS), final_state(straight, EPOCHS)
    assert differing(learned(mine), learned(theirs)) == []


@pytest.mark.slow
def test_it_starts_from_a_pretrained_backbone_and_runs_on_two_workers(straight, digits, labels, tmp_path):
    coke = [
        "--data", digits, "--storage", str(tmp_path), "--name", "coke", "--epochs", "2", "--batch_size", "64",
        "--backbone", '{"name": "wrn-10-1", "stem": "auto", "options": {}}', "--compute.threads", "1",
    ]  # fmt: skip
    train(read_recipe(str(RECIPES / "coke_digits.yaml"), PretrainConfig, settings_of(coke)))
    start = ["--init_from", str(tmp_path / "coke"), "--compute.workers", "2", "--optimizer.lr", "1e-9"]
    train(config(digits, labels, tmp_path, "both", *start))
    pretrained, tuned = (Trained.open(str(tmp_path / name)).method().backbone.state_dict() for name in ("coke", "both"))
    weights = [name for name in pretrained if name.endswith("weight")]
    for name in weights:
        torch.testing.assert_close(tuned[name], pretrained[name], atol=1e-5, rtol=1e-5)
    assert (final_state(tmp_path / "both", EPOCHS)["method"]["memory"]["labels"] >= 0).float().mean() > 0.9
    other = '{"name": "wrn-10-2", "stem": "auto", "options": {}}'
    with pytest.raises(UserError, match=r"init_from .*coke has backbone 'wrn-10-1'.*does not fit this recipe's 'wrn-10-2'"):
        train(config(digits, labels, tmp_path, "misfit", "--init_from", str(tmp_path / "coke"), "--backbone", other))
    assert not (tmp_path / "misfit").exists()


@pytest.mark.slow
def test_evaluation_scores_the_classifiers_too(straight):
    scores = evaluate(str(straight))
    entries = MlflowClient(Run.open(str(straight)).address.uri).get_run(Run.open(str(straight)).address.run_id).data.metrics
    assert scores["test/accuracy_ema"] == pytest.approx(entries["test/accuracy_ema"], abs=3e-3)
    assert scores["test/accuracy"] == pytest.approx(entries["test/accuracy"], abs=3e-3)
    assert {"test/knn_top1", "test/linear_top1", "test/head0/purity"} <= scores.keys()
    assert {f"test/accuracy_ema_{name}" for name in ("top5", "macro", "ece")} <= scores.keys()
    assert {"accuracy", "accuracy_ema", "linear", "knn"} == set(pq.read_table(scores.table)["by"].to_pylist())


def test_the_classifier_is_exported_with_its_classes(straight, tmp_path):
    said = export(str(straight), str(tmp_path / "few.safetensors"), classifier=True)
    assert "algos.networks.build_backbone" in said
    with safe_open(tmp_path / "few.safetensors", "pt") as file:
        assert json.loads(file.metadata()["classes"]) == [str(digit) for digit in range(10)]
        head = file.get_tensor("fc.weight")
    averaged = Trained.open(str(straight)).method().classifiers()["accuracy_ema"]
    assert torch.equal(head, averaged.get_submodule("classifier").weight)


def test_a_moved_run_still_opens(straight, tmp_path):
    copy = tmp_path / "checkpoints" / "moved"
    shutil.copytree(straight, copy, ignore=shutil.ignore_patterns("ray", "pictures"))
    best = Trained.open(f"{copy}/checkpoints/best")
    assert best.config.labels == str(copy / "labels.json")
    assert Trained.open(str(copy)).place.startswith(f"{copy}/checkpoints/step-")


def test_a_run_is_resumed_by_the_command_that_made_it(straight, capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", "--resume", str(straight)])
    assert f"is a run of quorum semisup; go on with it: quorum semisup --resume {straight}" in capsys.readouterr().err


def test_a_run_keeps_its_own_copy_of_the_selection(straight, labels):
    trained = Trained.open(str(straight))
    assert trained.config.labels == str(straight / "labels.json")
    assert trained.selection == Selection.open(labels)
