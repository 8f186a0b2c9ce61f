"""The whole job on real digits, through Ray Data, Ray Train and a real MLflow store: stops, deaths, other worker counts."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from mlflow.tracking import MlflowClient

from pipelines.cleaning.listing import Listing
from pipelines.cleaning.own_names import OF_A_RUN
from pipelines.config.recipe import read_recipe, read_stored
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from pipelines.evaluation.evaluate import evaluate
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, one_writer
from pipelines.runs.run_folder import Run
from pipelines.tracking.figures import is_known
from pipelines.training.launch import train
from pipelines.training.loop import hunger
from quorum.settings import build_config, with_place
from tests.helpers.pages.words import settings_of
from tests.helpers.runs.killed_runs import (
    cut_back,
    differing,
    final_state,
    kill_and_resume,
    kill_once,
    learned,
    process_called,
    store_of,
    wait_for_step,
)
from tests.helpers.runs.small_runs import RECIPE, STEPS, words

pytestmark = [pytest.mark.ray, pytest.mark.job]

EPOCHS = 4


def test_a_run_holds_nothing_but_what_cleaning_knows(straight):
    assert Listing(Location.of(straight)).others("", OF_A_RUN) == []


def test_mlflow_has_the_figures_settings_and_pictures(straight):
    address = Run.open(str(straight)).address
    client = MlflowClient(address.uri)
    run = client.get_run(address.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["method.num_clusters"] == "[30, 20]"
    assert {"ray", "torch", "data"} <= run.data.tags.keys()
    expected = {
        "train/loss", "train/lr", "stream/images_per_second", "stream/wait_share", "stream/epoch_gap_seconds",
        "clusters/label_change", "test/knn_top1", "clusters/head0/nmi", "progress/epoch",
        "clusters/head1/smallest", "clusters/head0/largest", "clusters/head0/size_entropy", "clusters/head0/empty",
        "clusters/head0/certificate_slack", "clusters/head1/certificate_slack",
    }  # fmt: skip
    assert expected <= run.data.metrics.keys()
    assert all(is_known(name) for name in run.data.metrics)
    assert len(client.get_metric_history(address.run_id, "test/knn_top1")) == 3
    assert all(point.value >= -0.05 for point in client.get_metric_history(address.run_id, "clusters/head0/certificate_slack"))
    pictures = {Path(file.path).name for file in client.list_artifacts(address.run_id, "pictures")}
    assert {"clusters-0003.png", "cluster-sizes-0003.png", "curves-0003.png"} <= pictures


def test_mlflow_says_what_the_run_is_and_the_command_that_it_names_repeats_its_settings(straight):
    address = Run.open(str(straight)).address
    tags = MlflowClient(address.uri).get_run(address.run_id).data.tags
    assert {"mlflow.user", "mlflow.source.name", "mlflow.source.type"} <= tags.keys()
    words, command = tags["mlflow.note.content"].split("```")[:2]
    assert words.startswith(
        "Trains the backbone `wrn-10-1` from random weights by `coke` with heads of 30 and 20 clusters on 1,438"
    )
    assert shlex.split(command)[:3] == ["quorum", "pretrain", "--config"]
    values = shlex.split(command)[3:]
    again = build_config(PretrainConfig, values[0], None, with_place(values[2], {}))
    assert replace(again, name="straight") == read_stored(str(straight / "config.yaml"), PretrainConfig)
    assert (values[1], again.name) == ("--to", "straight-again")


def test_mlflow_lists_what_the_run_trains_and_is_scored_on(straight):
    address = Run.open(str(straight)).address
    listed = MlflowClient(address.uri).get_run(address.run_id).inputs.dataset_inputs
    contexts = {one.dataset.name: {tag.key: tag.value for tag in one.tags}["mlflow.data.context"] for one in listed}
    own = {name: context for name, context in contexts.items() if name.startswith("digits/")}  # other tests score it on others
    assert own == {"digits/train": "training", "digits/test": "validation"}


def test_a_run_cut_off_in_mid_epoch_resumes_to_the_same_bits(straight):
    copy = cut_back(straight, straight.parent / "cut-off", STEPS + 7)
    assert store_of(copy).latest().step == 7
    train(read_recipe(str(copy / "config.yaml"), PretrainConfig), resume=str(copy))
    assert differing(learned(final_state(straight, EPOCHS)), learned(final_state(copy, EPOCHS))) == []


@pytest.mark.slow
def test_a_killed_run_resumes_in_mid_epoch_to_the_same_bits(straight, digits):
    killed = straight.parent / "killed"
    kill_and_resume(["pretrain"], ["--config", RECIPE, *words(digits, killed.parent, "killed")], killed, STEPS + 7)
    assert differing(learned(final_state(straight, EPOCHS)), learned(final_state(killed, EPOCHS))) == []


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.kill, os.killpg])  # to a process, or to its group, as `timeout` does
def test_a_run_that_is_wished_to_stop_saves_at_its_step_and_goes_on_to_the_same_bits(straight, digits, send):
    stopped = straight.parent / f"stopped-{send.__name__}"
    quorum = [sys.executable, "-m", "quorum", "pretrain", "--address", "local"]
    given = ["--config", RECIPE, *words(digits, stopped.parent, stopped.name), "--checkpoint.every_steps", "0"]
    process = subprocess.Popen([*quorum, *given], stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for_step(stopped, STEPS, process)
    send(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 143, said
    step = store_of(stopped).latest().global_step
    assert f"stopped after step {step}, as asked; go on with it: quorum pretrain --resume {stopped}" in said
    assert "Traceback" not in said
    address = Run.open(str(stopped)).address
    assert MlflowClient(address.uri).get_run(address.run_id).info.status == "KILLED"
    train(read_recipe(str(stopped / "config.yaml"), PretrainConfig), resume=str(stopped))
    assert differing(learned(final_state(straight, EPOCHS)), learned(final_state(stopped, EPOCHS))) == []


@pytest.mark.slow
def test_a_recorder_that_dies_is_started_again_and_no_figure_is_lost_or_there_twice(straight, digits):
    storage = straight.parent
    killed = kill_once(lambda: once_trained(storage / "recorded", "ray::Recorder"))
    train(read_recipe(RECIPE, PretrainConfig, settings_of(words(digits, storage, "recorded"))))
    assert killed
    mine, theirs = (figures_of(storage / name) for name in ("recorded", "straight"))
    assert mine == {point: [*dict.fromkeys(values)] for point, values in theirs.items()}  # copies of that run were gone on with
    address = Run.open(str(storage / "recorded")).address
    assert MlflowClient(address.uri).get_run(address.run_id).info.status == "FINISHED"


def once_trained(folder: Path, title: str) -> psutil.Process | None:
    """A process of a run that is past an epoch and some steps."""
    wait_for_step(folder, STEPS + 7)
    return process_called(title)


def figures_of(folder: Path) -> dict[tuple[str, int], list[float]]:
    """Every figure of a run in MLflow by its name and step, rates and times excepted."""
    address = Run.open(str(folder)).address
    client = MlflowClient(address.uri)
    found: dict[tuple[str, int], list[float]] = {}
    for name in client.get_run(address.run_id).data.metrics:
        if not name.startswith(("stream/", "evaluate/")) and "seconds" not in name:
            for point in client.get_metric_history(address.run_id, name):
                found.setdefault((name, point.step), []).append(point.value)
    return found


@pytest.mark.slow
def test_a_worker_that_dies_is_restarted_from_the_last_checkpoint(straight, digits):
    storage = straight.parent
    killed = kill_once(lambda: once_trained(storage / "died", "RayTrainWorker"))
    train(read_recipe(RECIPE, PretrainConfig, settings_of(words(digits, storage, "died"))))
    assert killed
    assert differing(learned(final_state(straight, EPOCHS)), learned(final_state(storage / "died", EPOCHS))) == []


def test_a_run_that_another_process_writes_is_not_gone_on_with(straight):
    before = (straight / "journal.jsonl").read_bytes(), (straight / "config.yaml").read_bytes()
    with one_writer(Location.of(straight)), pytest.raises(UserError, match=f"{straight} is being written by process"):
        train(read_recipe(str(straight / "config.yaml"), PretrainConfig), resume=str(straight))
    assert ((straight / "journal.jsonl").read_bytes(), (straight / "config.yaml").read_bytes()) == before


@pytest.mark.slow
def test_of_two_runs_of_one_name_that_start_at_once_one_trains_and_the_other_is_refused(straight, digits):
    twice = straight.parent / "twice"
    command = [sys.executable, "-m", "quorum", "pretrain", "--address", "local", "--config", RECIPE]
    command += words(digits, twice.parent, "twice")
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=400)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], said
    refused = said[codes.index(2)].strip().splitlines()[-1]
    assert refused.startswith(f"quorum pretrain: {twice} is being written by process {both[codes.index(0)].pid} on ")
    assert differing(learned(final_state(straight, EPOCHS)), learned(final_state(twice, EPOCHS))) == []
    assert not (twice / NOTE).exists()


@pytest.mark.slow
def test_another_number_of_workers_resumes(straight):
    copy = cut_back(straight, straight.parent / "more-workers", 2 * STEPS)
    config = read_recipe(str(copy / "config.yaml"), PretrainConfig, settings_of(["--compute.workers", "2"]))
    train(config, resume=str(copy))
    state = final_state(copy, EPOCHS)
    assert state["workers"] == 2
    assert (state["method"]["memory"]["labels"] >= 0).float().mean() > 0.97
    assert all(torch.isfinite(tensor).all() for tensor in state["method"]["network"].values())


@pytest.mark.slow
def test_other_shards_are_refused_at_a_resume(straight, digits, tmp_path):
    from pipelines.ingest.ingest import ingest
    from pipelines.ingest.recognise import open_source

    ingest(open_source("digits"), str(tmp_path / "other"), name="digits", seed=1)
    copy = cut_back(straight, straight.parent / "other-shards", 2 * STEPS)
    config = read_recipe(str(copy / "config.yaml"), PretrainConfig, settings_of(["--data", str(tmp_path / "other")]))
    with pytest.raises(UserError, match="fingerprint"):
        train(config, resume=str(copy))


@pytest.mark.slow
def test_a_full_disk_stops_the_run_in_words_and_keeps_what_was_saved(straight):
    copy = cut_back(straight, straight.parent / "full-disk", 2 * STEPS)
    config = read_recipe(str(copy / "config.yaml"), PretrainConfig, settings_of(["--checkpoint.every_steps", "7"]))
    place = copy / "checkpoints" / f"step-{2 * STEPS + 7:09d}.pt"
    place.unlink()
    place.mkdir()  # what the writer needs is taken
    before = store_of(copy).latest()
    with pytest.raises(UserError, match=r"could not be written.*--resume"):
        train(config, resume=str(copy))
    assert store_of(copy).latest() == before


def test_a_name_in_use_is_refused(straight, digits):
    with pytest.raises(UserError, match="already holds a run"):
        train(read_recipe(RECIPE, PretrainConfig, settings_of(words(digits, straight.parent, "straight"))))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_gpus_that_are_not_there_are_refused_before_a_worker_starts(straight, digits):
    with pytest.raises(UserError, match=r"asks for 1 GPUs, the cluster has 0"):
        train(read_recipe(RECIPE, PretrainConfig, settings_of(words(digits, straight.parent, "no-gpu", "--compute.gpu", "true"))))


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_workers(straight):
    one, two = (evaluate(str(straight), workers=workers) for workers in (1, 2))
    assert one["test/rows"] == 359
    assert one == pytest.approx(two, abs=1e-6)
    assert one["test/knn_top1"] > 0.8
    metrics = MlflowClient(Run.open(str(straight)).address.uri).get_run(Run.open(str(straight)).address.run_id).data.metrics
    assert all(is_known(name) for name in metrics)
    assert metrics["evaluate/test/knn_top1"] == pytest.approx(one["test/knn_top1"])


def test_the_progress_line_says_when_the_stream_cannot_feed_the_device():
    assert hunger(0.05) == ""
    assert hunger(0.43).strip() == "waits 43% of the time for images (docs/problems.md)"
