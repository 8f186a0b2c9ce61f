"""The recorder as its driver meets it."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from packaging.version import Version

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.tracking.epoch_snapshot import EpochSnapshot
from pipelines.tracking.figures import EPOCH, SMALLEST
from pipelines.tracking.journal import entries_of
from pipelines.tracking.local_copy import stored_journal
from pipelines.tracking.mlflow_store import start_run
from pipelines.tracking.recorder import Recorder, start_recorder
from tests.helpers.runs.killed_runs import process_called
from tests.helpers.runs.version_0_1 import unpack

KNN = "test/knn_top1"


@pytest.mark.ray
def test_a_record_that_cannot_be_opened_is_one_sentence_and_its_run_has_failed(local_ray, store, tmp_path):
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    (tmp_path / "run").touch()  # a file where the folder should be
    with pytest.raises(UserError, match=r"the record of the run could not be opened in .*/run \(.*\); mend the folder"):
        start_recorder(str(tmp_path / "run"), str(tmp_path / "run"), address)
    assert MlflowClient(address.uri).get_run(address.run_id).info.status == "FAILED"


@pytest.mark.ray
def test_figures_messages_and_the_reason_of_a_stop_reach_the_driver_though_the_recorder_dies(local_ray, store, tmp_path):
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    record = start_recorder(str(tmp_path / "run"), str(tmp_path / "run"), address)
    record.metrics({"train/loss": 0.5}, 7, "epoch 1", wait=True)
    status = record.poll()
    assert (status.step, status.note, status.stop_reason) == (7, "epoch 1", None)
    record.wish()
    assert record.wished()
    assert record.left() is None
    record.leave(7)
    assert record.left() == 7
    record.stop("the disk is full")
    while (recorder := process_called("ray::Recorder")) is not None:
        recorder.kill()
        recorder.wait()
    record.metrics({"train/loss": 0.25}, 8)  # while nobody is there
    assert record.stop_reason() == "the disk is full"
    assert record.close("FAILED") == []
    run = MlflowClient(address.uri).get_run(address.run_id)
    assert (run.info.status, run.data.metrics["train/loss"]) == ("FAILED", 0.25)
    lost = [point.step for point in MlflowClient(address.uri).get_metric_history(address.run_id, "train/loss")]
    assert lost == [7, 8]


def test_the_curves_of_a_run_that_goes_on_have_what_its_labels_told_of_the_truth(store, some_digits, tmp_path):
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    labels = np.arange(some_digits.split("train").ids)[None] % 7
    state = EpochSnapshot(labels, [np.bincount(labels[0])], [(10.0, np.inf)])
    for epoch in range(2):
        recorder = Recorder(str(tmp_path / "run"), str(tmp_path / "run"), address, some_digits)
        recorder.metrics({EPOCH: float(epoch), "train/epoch_loss": 1.0}, 10 * (epoch + 1))
        recorder.agree(epoch, 10 * (epoch + 1), state)
        assert recorder.close("FINISHED") == []
    for name in ("train/epoch_loss", "clusters/head0/nmi"):
        assert [epoch for epoch, _ in recorder._series[name]] == [0, 1]


def test_a_remote_run_that_goes_on_says_so_on_its_storage_at_once(store, tmp_path, monkeypatch):
    pytest.importorskip("moto", reason="needs the S3 server of the dev extra")
    from tests.helpers.machines.s3 import KEYS, serving

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    with serving() as server:
        run = Location.of(server.uri("runs/first"))
        for machine, told in (("one", ["RUNNING"]), ("another", ["RUNNING", "FAILED", "RUNNING"])):
            recorder = Recorder(str(tmp_path / machine), str(run), address)
            assert [entry["status"] for entry in entries_of(stored_journal(run)) if entry["kind"] == "status"] == told
            assert recorder.close("FAILED") == []


@pytest.mark.skipif(Version(mlflow.__version__) < Version("3.17"), reason="its store has the tables of MLflow 3.17")
def test_the_curves_of_a_run_that_version_0_1_began_go_on_under_present_names(tmp_path):
    folder = unpack(tmp_path) / "outputs" / "coke"
    run = Run.open(str(folder))
    recorder = Recorder(str(folder), str(folder), run.address)
    recorder.metrics({KNN: 0.9, SMALLEST: 3.0, EPOCH: 4.0}, 90)
    assert recorder.close("FINISHED") == []
    assert [epoch for epoch, _ in recorder._series[SMALLEST]] == [0, 1, 2, 3, 4]
    assert [epoch for epoch, _ in recorder._series[KNN]] == [0, 2, 3, 4]
    metrics = MlflowClient(run.address.uri).get_run(run.address.run_id).data.metrics
    assert (metrics[KNN], metrics["knn_top1"]) == (0.9, recorder._series[KNN][-2][1])


def test_a_warning_is_told_once_of_a_run_and_kept_in_its_record(store, tmp_path):
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    recorder = Recorder(str(tmp_path / "run"), str(tmp_path / "run"), address)
    recorder.warn("rank", "the features lie in 1.2 dimensions", "a")
    recorder.warn("rank", "they still do", "b")
    assert recorder.poll().messages == ["the features lie in 1.2 dimensions"]
    assert recorder.close("KILLED") == []
    resumed = Recorder(str(tmp_path / "run"), str(tmp_path / "run"), address)
    resumed.warn("rank", "they still do", "c")
    resumed.warn("cluster", "one cluster has all", "d")
    assert resumed.poll().messages == ["one cluster has all"]
    resumed.close("FINISHED")
    tags = MlflowClient(address.uri).get_run(address.run_id).data.tags
    assert tags["quorum.warning.rank"] == "the features lie in 1.2 dimensions"
    assert tags["quorum.warning.cluster"] == "one cluster has all"
