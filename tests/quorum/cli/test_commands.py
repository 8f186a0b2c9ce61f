"""The command line: every mistake gives one sentence and exit code 2, and nothing of it is left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.datasets.image_shards import Dataset
from quorum.cli.commands import COMMANDS, VERSION, main
from tests.helpers.layouts import domainnet_files, write_files
from tests.helpers.places import COKE_DIGITS as RECIPE


@pytest.fixture
def refusal(capsys, tmp_path, monkeypatch):
    """Run a command that must be refused; returns what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(words)
        said = capsys.readouterr()
        assert stop.value.code == 2
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith(f"quorum {words[0]}: ")
        assert "Traceback" not in said.err
        return said.err.removeprefix(f"quorum {words[0]}: ").strip()

    return run


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(capsys, words):
    main(words)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"quorum {command}" in capsys.readouterr().out


def test_the_version_is_said(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"quorum {VERSION}\n"


@pytest.mark.parametrize(("word", "near"), [("pretain", "pretrain"), ("ingst", "ingest"), ("evalute", "evaluate")])
def test_an_unknown_command_is_named_with_the_nearest(refusal, word, near):
    assert refusal(word) == f"unknown command {word!r}; nearest valid name: {near}; quorum --help lists them"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest"], "source, to"),
        (["ingest", "digits"], "required: to"),
        (["ingest", "nowhere", "--to", "x"], "source 'nowhere' is no folder"),
        (["ingest", "digits", "--to", "x", "--kind", "foldr"], "nearest valid name: folder"),
        (["ingest", "digits", "--to", "x", "--domains", "clipart"], "--domains selects domains of DomainNet"),
        (["ingest", ".", "--to", "x", "--kind", "domainet"], "nearest valid name: domainnet"),
        (["ingest", "digits", "--to", "x", "--holdout", "some"], "holdout"),
        (
            ["ingest", "digits", "--to", "x", "--overwrit", "true"],
            "unknown option or key 'overwrit'; nearest valid name: overwrite",
        ),
        (["ingest", "digits", "--to", "x", "--sed", "1"], "unknown option or key 'sed'; nearest valid name: seed"),
        (["ingest", "digits", "--to", "x", "more"], "'more'"),
        (["pretrain"], "data, views.large"),
        (["pretrain", "--config"], "--config"),
        (
            ["pretrain", "--config", "absent.yaml"],
            "there is no recipe 'absent.yaml', neither a file nor a name that quorum recipes lists",
        ),
        (["pretrain", "--config", RECIPE, "--method.dimm", "3"], "'method.dimm'; nearest valid name: method.dim"),
        (["pretrain", "--config", RECIPE, "--batch_size", "ten"], "batch_size"),
        (["pretrain", "--config", RECIPE, "--batch_size", "0"], "batch_size is 0; it must be positive"),
        (["pretrain", "--config", RECIPE, "--compute.precision", "fp8"], "compute.precision"),
        (["pretrain", "--config", RECIPE, "--data", "absent"], "absent holds no quorum.json"),
        (["pretrain", "--resume", "absent"], "absent holds no run.json"),
        (["pretrain", "--resume", "absent", "--config", RECIPE], "--resume takes the run's own configuration"),
        (["pretrain", "--resume", "absent", "--method.dim", "3"], "--method.dim cannot change in a resumed run"),
        (["export", "absent", "--to", "x.safetensors"], "absent"),
        (["export", "absent"], "required: to"),
        (["evaluate"], "required: run"),
    ],
)
def test_a_mistake_is_one_sentence(refusal, words, said):
    assert said in refusal(*words)


def test_domains_are_separated_by_commas(refusal, tmp_path):
    for domain in ("clipart", "sketch"):
        write_files(tmp_path, domainnet_files(domain))
    said = refusal("ingest", str(tmp_path), "--to", "x", "--kind", "domainnet", "--domains", "clipart, scetch")
    assert said == f"--domains: {tmp_path} has no domain 'scetch'; nearest valid name: sketch; it has clipart, sketch"


@pytest.mark.parametrize("option", ["--resum", "--conf"])
def test_an_abbreviation_does_not_slip_past_what_guards_the_whole_option(refusal, option):
    assert f"unknown option or key {option.lstrip('-')!r}" in refusal("pretrain", option, RECIPE, "--method.dim", "3")


def test_a_mistake_leaves_nothing_behind(refusal, tmp_path):
    refusal("ingest", "nowhere", "--to", str(tmp_path / "data"))
    refusal("pretrain", "--config", RECIPE, "--data", str(tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
def test_a_run_that_is_not_there_cannot_be_evaluated(local_ray, refusal):
    assert "absent" in refusal("evaluate", "absent")


@pytest.mark.ray
@pytest.mark.parametrize(
    ("option", "value"), [("--rows_per_shard", "0"), ("--seed", "-1"), ("--holdout", "1.5"), ("--max_bad", "-1")]
)
def test_a_number_of_ingest_out_of_range_is_named(local_ray, refusal, tmp_path, option, value):
    assert option in refusal("ingest", "digits", "--to", str(tmp_path / "data"), option, value)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--batch_size", "100", "batch_size 100 is not a multiple of stream.lanes 8"),
        ("--batch_size", "4096", "batch_size 4096 exceeds the 1438 images of split 'train'"),
        ("--compute.workers", "9", "9 workers, but stream.lanes is 8"),
        ("--stream.split", "trian", "no split 'trian'; nearest valid name: train"),
        ("--seed", "-1", "seed is -1"),
    ],
)
def test_what_does_not_fit_the_data_is_said_before_a_run_is_made(digits, refusal, tmp_path, option, value, said):
    assert said in refusal("pretrain", "--config", RECIPE, "--data", digits, option, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
def test_ingest_writes_a_data_set_and_says_what_is_in_it(local_ray, tmp_path, capsys):
    main(["ingest", "digits", "--to", str(tmp_path / "digits"), "--rows_per_shard", "1000"])
    dataset = Dataset.open(str(tmp_path / "digits"))
    assert (dataset.name, dataset.split("train").rows) == ("digits", 1438)
    said = capsys.readouterr().out
    assert "1,438" in said
    assert "10 classes" in said


@pytest.mark.ray
def test_ingest_does_not_overwrite_unless_told(digits, refusal, tmp_path):
    assert "give --overwrite" in refusal("ingest", "digits", "--to", digits)


def test_the_installed_command_exits_with_2_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from quorum.cli import main; main()", "pretrain", "--config", "absent.yaml"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "quorum pretrain: there is no recipe 'absent.yaml', neither a file nor a name that quorum recipes lists\n"
    )
