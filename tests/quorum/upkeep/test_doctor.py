"""The command: exit code 0 where all is well, 1 where something is not, 2 for wrong words; and what it shows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import quorum
from pipelines.doctor.findings import Page, fault, fine
from quorum.cli import main
from quorum.cli.show import show_doctor
from quorum.upkeep.doctor import Checkup
from tests.helpers.places import ROOT


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """The command in a process without any setting of this one's."""
    command, setting = [sys.executable, "-m", "quorum", "doctor", *words], {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=setting, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.ray
def test_all_is_well_on_this_machine(local_ray, some_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    main(["doctor", "--data", some_digits.location.path, "--storage", "outputs", "--workers", "2"])
    said = capsys.readouterr().out
    assert "4, of which 2 for workers" in said
    assert said.splitlines()[-1] in ("all is well", "nothing stands in the way of a job")
    assert not Path("outputs").exists()


@pytest.mark.ray
def test_each_fault_is_a_sentence_and_the_exit_code_is_one(local_ray, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    words = ["--data", str(tmp_path), "--storage", str(tmp_path / "taken"), "--tracking.uri", "http://127.0.0.1:9", "--gpus", "2"]
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *words, "--workers", "9"])
    assert stop.value.code == 1
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT: ")]
    kinds = {line.rpartition("#")[2].rstrip(")") for line in faults}
    assert kinds == {"data-that-cannot-be-used", "a-folder-that-nodes-do-not-share", "mlflow-away-or-read-only",
                     "fewer-cpus-or-gpus-than-asked"}  # fmt: skip
    assert any("2 GPUs are asked for, the cluster has 0: no node has one; add nodes" in line for line in faults)


def test_a_checkup_shows_no_secret(capsys):
    found = fault("storage", "s3://KEY:s3cr3t@bucket cannot be written", "correct s3://KEY:s3cr3t@bucket", Page.RIGHTS)
    made = Checkup([found, fine("data", "s3://KEY:s3cr3t@bucket can be read")])
    with pytest.raises(SystemExit):
        show_doctor(made)
    shown = [*made.faults, made._repr_html_(), *made.table["found"], *capsys.readouterr()]
    assert not any("s3cr3t" in text for text in shown)


@pytest.mark.ray
def test_a_checkup_can_be_looked_at(local_ray, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = quorum.doctor(storage=f"file://{tmp_path}", nodes=3)  # a folder, beside which runs are recorded
    assert not found.healthy
    assert not any("needs a server to be recorded at" in fault for fault in found.faults)
    assert found.faults[0].startswith("3 nodes are asked for, 1 are there; start the others")
    assert list(found.table.columns) == ["check", "node", "state", "found"]
    assert "3 nodes are asked for" in found._repr_html_()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpus", "-1"], "gpus is -1; give 0 or more"),
        (["--workers", "0"], "compute.workers is 0; give 1 or more"),
        (["--storage", " "], "storage is empty; give a folder or a URI, or leave it out"),
        (["--tracking.uri", "localhost:5000"], "the MLflow address localhost:5000 has no scheme; write http://localhost:5000"),
        (["--adress", "auto"], "nearest"),
    ],
)
def test_wrong_words_are_one_sentence_and_exit_code_two(capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *words])
    shown = capsys.readouterr()
    assert (stop.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert said in shown.err


def test_what_is_no_address_of_a_cluster_is_wrong_usage(tmp_path):
    done = run(tmp_path, ["--address", "nowhere at all"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nowhere at all' is no address of a Ray cluster" in done.stderr


def test_a_cluster_that_does_not_answer_is_a_fault_beside_the_others(tmp_path, some_digits):
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        words = ["--address", f"127.0.0.1:{taken.getsockname()[1]}", "--data", some_digits.location.path, "--storage", "runs"]
        done = run(tmp_path, words)
    assert done.returncode == 1, done.stderr
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("FAULT: ")]
    assert "no Ray cluster answers at" in said
    assert said.endswith("(docs/problems.md#a-cluster-that-does-not-answer)")
    assert not (tmp_path / "runs").exists()
