"""A run, a data set and a comparison as Python has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from mlflow.tracking import MlflowClient

import quorum
from pipelines.config.training_config import PretrainConfig, SemisupConfig
from pipelines.errors import UserError
from pipelines.runs.run_folder import Run as RunFolder
from quorum.cli.option import options_of_config
from quorum.training import RESUMABLE
from tests.helpers.runs.killed_runs import cut_back, wait_for_step
from tests.helpers.runs.small_runs import STEPS, words

pytestmark = pytest.mark.ray


def test_a_run_shows_its_figures_checkpoints_and_pictures(straight):
    run = quorum.open_run(straight)
    assert run.path == str(straight)
    knn = run.figures["test/knn_top1"].dropna()
    assert len(knn) == 3
    assert run.scores["test/knn_top1"] == knn.iloc[-1]
    assert run.checkpoints["global_step"].iloc[-1] == 4 * STEPS
    assert any(path.name.startswith("clusters-") for path in run.pictures)
    shown = run._repr_html_()
    assert "test/knn_top1" in shown
    assert shown.count("<img") == 2


def test_a_runs_backbone_is_a_module_in_evaluation_mode(straight):
    backbone = quorum.open_run(straight).backbone()
    assert not backbone.training
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 8, 8)).shape == (2, 64)
    first = quorum.open_run(straight).checkpoints["file"].iloc[0]
    early = quorum.open_run(straight).backbone(checkpoint=first).state_dict()
    assert any(not torch.equal(early[name], tensor) for name, tensor in backbone.state_dict().items())


def test_resuming_a_run_that_has_all_its_epochs_trains_nothing_and_closes_its_record(straight, capsys):
    copy = cut_back(straight, straight.parent / "again", 4 * STEPS)
    before = (copy / "checkpoints" / "index.json").read_bytes()
    address = RunFolder.open(str(copy)).address
    MlflowClient(address.uri).update_run(address.run_id, "RUNNING")  # as a driver leaves it that dies at the very end
    assert quorum.pretrain(resume=copy, workers=2).path == str(copy)
    assert "has all its epochs; nothing is left to train" in capsys.readouterr().err
    assert (copy / "checkpoints" / "index.json").read_bytes() == before
    run = MlflowClient(address.uri).get_run(address.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.end_time == max(entry["time"] for entry in RunFolder.open(str(copy)).history() if "values" in entry)


@pytest.mark.parametrize("kind", [PretrainConfig, SemisupConfig])
def test_every_key_that_a_resumed_run_may_change_is_one(kind):
    keys = options_of_config(kind)
    sections = {f"{key.rpartition('.')[0]}." for key in keys}
    assert set(RESUMABLE) <= keys.keys() | sections
    assert "monitor.split" not in RESUMABLE


def test_a_resumed_run_changes_only_what_may_change(straight):
    with pytest.raises(UserError, match=r"method\.dim cannot change in a resumed run"):
        quorum.pretrain(resume=straight, method={"dim": 3})
    with pytest.raises(UserError, match="leave out the recipe"):
        quorum.pretrain("coke_digits", resume=straight)


def test_a_data_set_shows_its_splits_classes_and_images(digits):
    data = quorum.open_data(digits)
    assert data.splits.loc["train", "images"] == 1438
    assert data.counts.to_numpy().sum() == 1797
    assert [image.size for image in data.images(3).values()] == [(8, 8)] * 3
    assert data._repr_html_().count("<img") == 10


def test_labels_are_chosen_from_a_data_set(digits, tmp_path):
    chosen = quorum.labels(quorum.open_data(digits), per_class=2, to=tmp_path / "few.json")
    assert (chosen.counts == 2).all()
    assert str(chosen) == str(tmp_path / "few.json")
    with pytest.raises(UserError, match="exactly one of"):
        quorum.labels(digits)


def test_two_runs_are_compared_in_a_table(store):
    parent = store.sweep("clusters")
    for n in (10, 100):
        for seed in (0, 1):
            store.trial(parent, {"n": n}, seed, values=(0.5 + n / 1000 + seed / 100,))
    made = quorum.compare(parent, tracking_uri=store.uri)
    assert made.table["n"].tolist() == [100, 10]
    assert len(made.runs) == 4
    assert made.pictures
    assert made.notes[0].startswith("best: n 100")
    assert "<img" in made._repr_html_()


@pytest.mark.slow
def test_an_interrupt_ends_a_run_of_a_python_process_as_it_does_in_a_shell(digits, tmp_path):
    given = dict(
        zip(
            [word.removeprefix("--") for word in words(digits, tmp_path, "stopped")[::2]],
            words(digits, tmp_path, "stopped")[1::2],
            strict=True,
        )
    )
    code = f"""
import quorum
try:
    quorum.pretrain("coke_digits", settings={given | {"epochs": "400"}}, address="local")
except KeyboardInterrupt:
    print("interrupted")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_step(tmp_path / "stopped", 7)
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert out == "interrupted\n"
    assert "Traceback" not in err
    address = RunFolder.open(str(tmp_path / "stopped")).address
    assert MlflowClient(address.uri).get_run(address.run_id).info.status == "KILLED"


def test_a_path_is_no_run_and_the_refusal_says_what_opens_it(tmp_path):
    for place in (tmp_path, "outputs/first"):
        with pytest.raises(TypeError, match=r"quorum\.open_run\("):
            quorum.Run(place)
