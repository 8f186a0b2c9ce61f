"""The whole command line: the pipelines' commands and `compare`, with the arrow from tune to pipelines kept."""

from __future__ import annotations

import subprocess
import sys

import pytest

from quorum.cli import commands as pipelines_cli
from quorum.cli.sweep_commands import COMMANDS, main


@pytest.fixture
def refusal(capsys):
    """Run a command that must be refused; returns what it says."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(words)
        said = capsys.readouterr()
        assert (stop.value.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert said.err.startswith(f"quorum {words[0]}: ")
        return said.err.removeprefix(f"quorum {words[0]}: ").strip()

    return run


def test_help_lists_the_pipelines_commands_and_those_over_many_runs(capsys):
    main(["--help"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert listed == list(COMMANDS)
    assert set(listed) - set(pipelines_cli.COMMANDS) == {"compare", "sweep"}


def test_the_pipelines_alone_do_not_know_compare(capsys):
    with pytest.raises(SystemExit):
        pipelines_cli.main(["compare", "quorum"])
    assert "unknown command 'compare'" in capsys.readouterr().err


def test_help_needs_neither_mlflow_nor_torch_and_the_pipelines_do_not_need_tune():
    code = """
import sys
from pipelines.cli import main
assert "tune" not in sys.modules
from tune.cli import main
main(["--help"])
assert not {"torch", "ray", "mlflow", "scipy", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_compare_has_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "--help"])
    assert stop.value.code == 0
    assert "quorum compare" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compre"], "unknown command 'compre'; nearest valid name: compare"),
        (["compare"], "targets"),
        (["compare", "quorum", "--mode", "best"], "mode"),
        (["compare", "quorum", "--metrik", "loss"], "unknown option or key 'metrik'; nearest valid name: metric"),
        (["compare", "quorum"], "there is no MLflow store at sqlite:////"),
        (["compare", "quorum", "--uri", "nothing://at-all"], "MLflow at nothing://at-all does not answer"),
    ],
)
def test_a_mistake_is_one_sentence(refusal, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert said in refusal(*words)
    assert list(tmp_path.iterdir()) == []


def test_compare_prints_the_table_and_writes_the_results(store, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    parent = store.sweep("clusters")
    for n in (10, 100):
        store.trial(parent, {"n": n}, 0, values=(n / 1000,), metric="other", sizes=[(5, 4, 9)])
    main(["compare", parent, "--metric", "other", "--mode", "min", "--sizes", "--uri", store.uri])
    said = capsys.readouterr().out
    assert "clusters: other (min) within 100 images" in said
    assert "#constraint" in said
    assert "best: n 10 with other 0.0100" in said
    assert "outputs/comparison-clusters" in said
    assert (tmp_path / "outputs" / "comparison-clusters" / "settings.csv").exists()


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "quorum", "compre"], capture_output=True, text=True, check=False)
    said = "quorum compre: unknown command 'compre'; nearest valid name: compare; quorum --help lists them\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
