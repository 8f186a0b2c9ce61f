"""The command line: every mistake gives one sentence and exit code 2, and nothing of it is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from pipelines.datasets.image_shards import Dataset
from quorum.cli import main
from quorum.cli.commands import COMMANDS
from tests.helpers.inputs.layouts import domainnet_files, write_files
from tests.helpers.places import COKE_DIGITS as RECIPE
from tests.helpers.places import ROOT


@pytest.fixture
def refusal(capsys, tmp_path, monkeypatch):
    """Run a command that must be refused; returns what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

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
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed[:-1] == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_in_the_users_words_with_an_example(capsys, command):
    main([command, "--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: quorum {command}")
    assert f"  quorum {command}" in said
    assert not {"Config", "None", "Optional", "ClassVar", "dataclass"} & set(said.replace("(", " ").split())


def test_help_of_a_recipe_shows_the_options_of_its_method(capsys):
    main(["pretrain", "--config", "coke_digits", "--help"])
    assert "--method.target-labels previous|current" in capsys.readouterr().out


def test_a_home_that_cannot_be_written_is_no_line_among_those_of_a_command():
    code = "from quorum.cli import main; main(['--version']); import matplotlib; matplotlib.get_cachedir()"
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG"))} | {
        "HOME": "/proc/nobody"
    }
    done = subprocess.run([sys.executable, "-c", code], env=settings, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_working_folder_that_was_deleted_is_named_before_a_library_stumbles_over_it(refusal, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        said = refusal("clean", "outputs")
    assert "the folder that the command is given in was deleted; change to another (cd)" in said


@pytest.mark.parametrize("words", [["--help"], ["pretrain", "--help"], ["sweep", "--help"], ["cluster", "--help"]])
def test_help_loads_neither_torch_nor_ray_nor_mlflow(words):
    code = f"""
import sys
from quorum.cli import main
main({words})
assert not {{"torch", "ray", "mlflow", "scipy", "matplotlib", "pandas", "pyarrow"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_version_is_the_packages(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"quorum {version('quorum-kmeans')}\n"


@pytest.mark.parametrize(("word", "near"), [("pretain", "pretrain"), ("ingst", "ingest"), ("compre", "compare")])
def test_an_unknown_command_is_named_with_the_nearest(refusal, word, near):
    assert refusal(word) == f"unknown command {word!r}; nearest valid name: {near}; quorum --help lists them"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest"], "source is missing: quorum ingest SOURCE --to FOLDER"),
        (["ingest", "digits"], "to is missing: quorum ingest SOURCE --to FOLDER"),
        (["ingest", "nowhere", "--to", "x"], "source 'nowhere' is no folder"),
        (["ingest", "digits", "--to", "x", "--kind", "foldr"], "nearest valid name: folder"),
        (["ingest", "digits", "--to", "x", "--domains", "clipart"], "--domains selects domains of DomainNet"),
        (["ingest", ".", "--to", "x", "--kind", "domainet"], "nearest valid name: domainnet"),
        (["ingest", "digits", "--to", "x", "--holdout", "some"], "--holdout is 'some'; give a number"),
        (["ingest", "digits", "--to", "x", "--overwrit"], "unknown option --overwrit; nearest valid name: overwrite"),
        (["ingest", "digits", "--to", "x", "--overwrite", "true"], "--overwrite takes no value; give --overwrite"),
        (["ingest", "digits", "--to", "x", "--sed", "1"], "unknown option --sed; nearest valid name: seed"),
        (["ingest", "digits", "--to", "x", "more"], "'more' is one word too many"),
        (
            ["ingest", "digits", "--to", "x", "--set", "epochs=3"],
            "--set epochs sets a key of a recipe, and this command takes none",
        ),
        (["labels", "data"], "data holds no quorum.json"),
        (["labels", "--shards", "data"], "--shards is --data now"),
        (["labels", "--workers", "2"], "unknown option --workers"),
        (["compare", "--shards", "x"], "unknown option --shards"),
        (["cluster", "--data", "x", "--storage", "y"], "storage goes with name"),
        (["pretrain", "--config", RECIPE, "--to", "a/b", "--name", "c"], "give one of the two"),
        (["pretrain", "--config"], "--config"),
        (["pretrain", "--config", "absent.yaml"], "there is no recipe 'absent.yaml'"),
        (["pretrain", "--config", "coke_digit"], "nearest valid name: coke_digits"),
        (["pretrain", "--config", RECIPE, "--method.dimm", "3"], "unknown option --method.dimm; nearest valid name: method.dim"),
        (["pretrain", "--config", RECIPE, "--set", "method.dimm=3"], "unknown key 'method.dimm'; nearest valid name: method.dim"),
        (["pretrain", "--config", RECIPE, "--batch_size", "ten"], "batch_size"),
        (["pretrain", "--config", RECIPE, "--batch-size", "0"], "batch_size is 0; it must be positive"),
        (["pretrain", "--config", RECIPE, "--compute.precision", "fp8"], "compute.precision"),
        (["pretrain", "--config", RECIPE, "--data", "absent"], "absent holds no quorum.json"),
        (["pretrain", "--config", RECIPE, "--data.shards", "absent"], "--data.shards is --data now"),
        (["pretrain", "--resume", "absent"], "absent holds no run.json"),
        (["pretrain", "--resume", "absent", "--config", RECIPE], "resume takes the run's own configuration"),
        (["pretrain", "--resume", "absent", "--method.dim", "3"], "method.dim cannot change in a resumed run"),
        (["cluster", "--embeddings", "x"], "--embeddings is --data now"),
        (["export", "absent", "--to", "x.safetensors"], "absent"),
        (["export", "absent"], "to is missing"),
        (["evaluate"], "run is missing: quorum evaluate RUN"),
        (["evaluate", "x", "--workers", "0"], "workers is 0; it must be a whole number, at least 1"),
        (["evaluate", "x", "--neighbours", "0"], "neighbours is 0; it must be a whole number, at least 1"),
        (["evaluate", "x", "--temperature", "0"], "temperature is 0.0; give a number above 0"),
        (["evaluate", "x", "--temperature", "nan"], "temperature is nan; give a number above 0"),
        (["embed", "x", "--to", "y", "--workers", "-1"], "workers is -1; it must be a whole number, at least 1"),
        (["compare"], "nothing to compare"),
        (["compare", "quorum", "--mode", "best"], "mode is 'best'; give max or min"),
        (["compare", "quorum", "--metrik", "loss"], "unknown option --metrik; nearest valid name: metric"),
        (["compare", "quorum"], "there is no MLflow store at sqlite:////"),
        (["compare", "quorum", "--uri", "x"], "--uri is --tracking.uri now"),
        (["compare", "quorum", "--tracking.uri", "nothing://at-all"], "MLflow at nothing://at-all does not answer"),
    ],
)
def test_a_mistake_is_one_sentence(refusal, tmp_path, words, said):
    assert said in refusal(*words)
    assert list(tmp_path.iterdir()) == []


def test_domains_are_separated_by_commas(refusal, tmp_path):
    for domain in ("clipart", "sketch"):
        write_files(tmp_path, domainnet_files(domain))
    said = refusal("ingest", str(tmp_path), "--to", "x", "--kind", "domainnet", "--domains", "clipart, scetch")
    assert said == f"--domains: {tmp_path} has no domain 'scetch'; nearest valid name: sketch; it has clipart, sketch"


@pytest.mark.parametrize("option", ["--resum", "--conf"])
def test_an_abbreviation_does_not_slip_past_what_guards_the_whole_option(refusal, option):
    assert f"unknown option {option}" in refusal("pretrain", option, RECIPE, "--method.dim", "3")


@pytest.mark.parametrize("words", [["evaluate", "absent"], ["embed", "absent", "--to", "made"]])
def test_a_run_that_is_not_there_is_refused_before_ray_starts(monkeypatch, refusal, words):
    for module in ("evaluate", "write_embeddings"):
        monkeypatch.setattr(f"pipelines.evaluation.{module}.connect", None)
    assert "absent" in refusal(*words)


@pytest.mark.parametrize(
    ("option", "value"), [("--rows_per_shard", "0"), ("--seed", "-1"), ("--holdout", "1.5"), ("--max_bad", "-1")]
)
def test_a_number_of_ingest_out_of_range_is_named_before_ray_starts(monkeypatch, refusal, tmp_path, option, value):
    monkeypatch.setattr("pipelines.ingest.ingest.connect", None)
    assert option in refusal("ingest", "digits", "--to", str(tmp_path / "data"), option, value)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--batch_size", "100", "batch_size 100 is not a multiple of stream.lanes 8"),
        ("--batch_size", "4096", "batch_size 4096 exceeds the 1438 images of split 'train'"),
        ("--workers", "9", "9 workers, but stream.lanes is 8"),
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
def test_ingest_does_not_overwrite_unless_told(digits, refusal):
    assert "give --overwrite" in refusal("ingest", "digits", "--to", digits)


def test_compare_prints_the_table_and_writes_the_results(store, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    parent = store.sweep("clusters")
    for n in (10, 100):
        store.trial(parent, {"n": n}, 0, values=(n / 1000,), metric="other", sizes=[(5, 4, 9)])
    main(["compare", parent, "--metric", "other", "--mode", "min", "--sizes", "--tracking.uri", store.uri])
    said = capsys.readouterr().out
    assert "clusters: other (min) within 100 images" in said
    assert "#constraint" in said
    assert "best: n 10 with other 0.0100" in said
    assert "outputs/comparison-clusters" in said
    assert (tmp_path / "outputs" / "comparison-clusters" / "settings.csv").exists()


def test_recipes_are_listed_with_what_they_are_for(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    main(["recipes"])
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["coke_digits", "pretrain"] in [line[:2] for line in lines]
    assert ["sweeps/digits", "sweep"] in [line[:2] for line in lines]
    assert all(len(line) == 3 for line in lines)


def test_the_installed_command_and_the_module_exit_with_2_and_one_line(tmp_path):
    for start in (["-c", "from quorum.cli import main; main()"], ["-m", "quorum"]):
        done = subprocess.run(
            [sys.executable, *start, "pretrain", "--config", "absent"], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "quorum pretrain: there is no recipe 'absent', neither a file nor a name that quorum recipes lists\n"
        )
