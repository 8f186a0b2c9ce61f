"""What `quorum evaluate` says of guessed classes: several numbers of neighbours, each class, calibration."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from mlflow.tracking import MlflowClient

import quorum
from pipelines.errors import UserError
from pipelines.evaluation.class_tables import class_table
from pipelines.evaluation.evaluate import check_classes, check_options, evaluate, has_bank, own_guesses, scored_classes
from pipelines.evaluation.record_scores import FOLDER, record_scores
from pipelines.files.location import Location
from pipelines.probing.loop import Probe
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import Trained
from pipelines.tracking.about.data_input import EVALUATION, DataInput
from pipelines.tracking.figures import is_known
from pipelines.tracking.mlflow_store import start_run
from quorum.cli import main

pytestmark = pytest.mark.ray


def test_classes_and_neighbours_are_scored_shown_and_recorded(straight, capsys):
    main(["evaluate", str(straight), "--neighbours", "5,1,2000"])
    shown = capsys.readouterr()
    address = Run.open(str(straight)).address
    client = MlflowClient(address.uri)
    recorded = client.get_run(address.run_id).data.metrics
    scores = {name.removeprefix("evaluate/test/"): value for name, value in recorded.items() if name.startswith("evaluate/")}
    assert all(is_known(name) for name in recorded)
    assert scores["knn_top1"] == scores["knn5_top1"] != scores["knn2000_top1"]
    assert {"knn1_top1", "knn_top5", "knn_macro", "linear_top5", "linear_macro", "linear_ece"} <= scores.keys()
    assert "knn_ece" not in scores  # votes are no probabilities
    assert scores["linear_top1"] <= scores["linear_top5"]
    assert 0 < scores["linear_ece"] < 1
    assert "2000 neighbours are asked for, and 1438 training images are all that can vote" in shown.err

    table = pq.read_table(straight / "evaluation" / "classes-test.parquet").to_pandas()
    for by in ("linear", "knn"):
        mine = table[table["by"] == by]
        assert mine["class"].tolist() == [str(digit) for digit in range(10)]
        assert mine["rows"].sum() == 359
        assert (mine["accuracy"] * mine["rows"]).sum() / 359 == pytest.approx(scores[f"{by}_top1"])
        assert mine["accuracy"].mean() == pytest.approx(scores[f"{by}_macro"])
    worst = table[table["by"] == "linear"].sort_values(["accuracy", "class"]).iloc[0]
    assert f"{worst['class']} " in shown.out
    assert f"{worst['confused_with']} ({worst['confused_rows']})" in shown.out
    with (straight / "evaluation" / "classes-test.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == table["class"].tolist()
    files = {file.path for file in client.list_artifacts(address.run_id, "evaluation")}
    assert {"evaluation/classes-test.parquet", "evaluation/classes-test.csv"} <= files


def test_shards_without_any_class_of_the_classifier_are_refused_before_anything_is_embedded(some_digits, capsys):
    digits = some_digits.classes
    for selection in (None, SimpleNamespace(classes=digits)):
        check_classes(SimpleNamespace(selection=selection), some_digits)
        assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="has no class that the classifier knows, such as 'cat'; give shards with some"):
        check_classes(SimpleNamespace(selection=SimpleNamespace(classes=["cat", "dog"])), some_digits)
    check_classes(SimpleNamespace(selection=SimpleNamespace(classes=[*digits[:8], "cat"])), some_digits)
    told = capsys.readouterr().err
    assert "lacks classes that the classifier knows, and guesses of them are wrong: cat\n" in told
    assert "has classes that the classifier does not know, and has all wrong: 8, 9\n" in told


def test_a_guess_of_a_class_that_the_data_lack_is_wrong_and_has_its_name_in_the_table():
    trained, data = (
        SimpleNamespace(selection=SimpleNamespace(classes=["ant", "cat", "dog"])),
        SimpleNamespace(classes=["dog", "cat"]),
    )
    names = scored_classes(trained, data)
    guessed = own_guesses(trained, names, {"accuracy": torch.tensor([[0], [1], [2]]), "accuracy.shares": torch.ones(3, 1)})
    assert (names, guessed["accuracy"].first.tolist()) == (["dog", "cat", "ant"], [2, 1, 0])
    table = class_table(guessed, torch.tensor([0, 1, 0]), names).to_pydict()
    assert (table["accuracy"], table["confused_with"]) == ([0.5, 1.0, None], ["ant", None, None])


def test_what_votes_and_probes_would_learn_from_is_told_where_it_is_missing(some_digits, capsys):
    run, train = SimpleNamespace(split="train"), some_digits.split("train")
    assert has_bank(run, some_digits)
    assert capsys.readouterr().err == ""
    fewer = replace(train, class_counts=[count - 1 for count in train.class_counts])
    for splits, lacks in (({"test": train}, "no images"), ({"train": fewer}, f"10 of {train.rows} images without a label")):
        assert not has_bank(run, replace(some_digits, splits=splits))
        assert f"has {lacks}: no kNN and no linear probe, which learn from its labels" in capsys.readouterr().err


def test_guesses_of_classes_that_share_a_name_stay_apart():
    classes = ["crane", "dog", "crane"]
    scored = {"accuracy": torch.tensor([[0], [1], [2]]), "accuracy.shares": torch.ones(3, 1)}
    trained = SimpleNamespace(selection=SimpleNamespace(classes=classes))
    found = own_guesses(trained, classes, scored)
    assert found["accuracy"].first.tolist() == [0, 1, 2]
    probe = SimpleNamespace(job=SimpleNamespace(images=SimpleNamespace(classes=classes)), data=SimpleNamespace(classes=classes))
    assert Probe._in_classes(probe, torch.tensor([2, 0, 1])).tolist() == [2, 0, 1]


def test_scores_of_other_data_stand_beside_those_of_the_runs_own(straight, tmp_path, capsys):
    address, other = Run.open(str(straight)).address, quorum.ingest("digits", tmp_path / "some ones", take=300).dataset
    own = MlflowClient(address.uri).get_run(address.run_id).data.metrics
    found = evaluate(str(straight), shards=str(other.location))
    name = f"some_ones-{other.fingerprint}"
    recorded = MlflowClient(address.uri).get_run(address.run_id).data.metrics
    assert {key: recorded[key] for key in own} == own
    assert {key: recorded[f"evaluate/{name}/{key}"] for key in found} == found
    assert all(is_known(key) for key in recorded)
    assert Path(found.table).name == f"classes-test-{name}.parquet"
    told = f"scores are of {other.location}: in MLflow they begin with evaluate/{name}/, beside those of the run's own data"
    assert told in capsys.readouterr().err


def test_work_that_could_not_be_kept_is_refused_before_ray_starts(straight, tmp_path, monkeypatch):
    for module in ("evaluate", "next_labels", "write_embeddings"):
        monkeypatch.setattr(f"pipelines.evaluation.{module}.connect", _stop)
    copy = tmp_path / "copy"
    shutil.copytree(straight, copy)
    shutil.rmtree(copy / FOLDER, ignore_errors=True)
    (copy / FOLDER).write_text("no folder")
    with pytest.raises(UserError, match=rf"scores of {copy} are kept in {copy}/evaluation, which cannot be written: "):
        evaluate(str(copy))
    data = str(Trained.open(str(straight)).dataset.location)
    with pytest.raises(UserError, match="no-place"):
        quorum.labels(data, count=5, run=str(straight), to="/proc/no-place/next.csv")
    with pytest.raises(UserError, match="no-place"):
        quorum.embed(str(straight), "/proc/no-place", split="test")


def test_a_table_that_a_remote_folder_refuses_stays_on_this_machine(straight, tmp_path, monkeypatch, capsys):
    trained = Trained.open(str(straight))
    remote = replace(
        trained, run=replace(trained.run, location=Location(pafs.PyFileSystem(Refusing()), "bucket/run", "s3://bucket/run"))
    )
    monkeypatch.chdir(tmp_path)
    place = record_scores(
        remote,
        {},
        pa.table({"class": ["a"]}),
        "evaluate",
        "classes-test",
        DataInput.of_split(trained.dataset, "test", EVALUATION),
    )
    assert Path(place).is_relative_to(tmp_path)
    assert pq.read_table(place)["class"].to_pylist() == ["a"]
    assert "s3://bucket/run/evaluation cannot be written (AWS Error ACCESS_DENIED); the table" in capsys.readouterr().err


def test_figures_reach_mlflow_where_the_table_of_classes_cannot_be_written(straight, tmp_path, store):
    trained, address = Trained.open(str(straight)), start_run(store.uri, "quorum", "first", params={}, tags={})
    moved = replace(trained, run=replace(trained.run, location=Location.of(tmp_path / "run"), address=address))
    (tmp_path / "run" / FOLDER / "classes-test.parquet").mkdir(parents=True)
    data = DataInput.of_split(trained.dataset, "test", EVALUATION)
    with pytest.raises(OSError, match=r"classes-test\.parquet"):
        record_scores(moved, {"test/rows": 3.0}, pa.table({"class": ["a"]}), "evaluate", "classes-test", data)
    assert store.client.get_run(address.run_id).data.metrics == {"evaluate/test/rows": 3.0}


class Refusing(pafs.FSSpecHandler):
    """A storage whose keys let nobody write."""

    def __init__(self) -> None:
        super().__init__(MemoryFileSystem())

    def create_dir(self, path: str, recursive: bool) -> None:
        raise OSError("AWS Error ACCESS_DENIED")


def _stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("neighbours", [[True], [5, False], [1.5], [0], []])
def test_numbers_of_neighbours_that_are_none_are_refused(neighbours):
    with pytest.raises(UserError, match="neighbours is"):
        check_options(workers=1, neighbours=neighbours)
    check_options(workers=1, neighbours=[1, 5])
