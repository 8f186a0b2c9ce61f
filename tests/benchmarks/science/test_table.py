"""A study's table says what kept runs say, calculated by hand, and names what is missing or does not count."""

from __future__ import annotations

import pytest

from benchmarks.science.__main__ import main
from benchmarks.science.scores import read_scores
from benchmarks.science.table import draw
from tests.benchmarks.science.small_study import studies_of
from tune.comparison.mlflow_runs import Found, find, keep_runs

SETTINGS = {"a": {"epochs": 3}, "b": {"epochs": 3, "method.num_clusters": [4, 5]}}
ARMS = {"x": {}, "y": {"method.min_size_ratio": 1.0}}
SCORES = {  # by cell, arm, seed
    "a": {"x": {1: 0.80, 2: 0.90, 3: 1.00}, "y": {1: 0.70, 2: 0.85, 3: 0.85}},
    "b": {"x": {1: 0.50}, "y": {1: 0.60, 2: 0.40}},
}


def trained(store, cell, arm, seed, score, **more):
    """A run whose last two epochs have that mean; the one before is of no weight."""
    params = {"monitor.split": "test", **SETTINGS[cell], **ARMS[arm], **more}
    values = (0.0, score - 0.1, score + 0.1)
    return store.run(f"small.{cell}.{arm}.{seed}", params=params, values=values, experiment="science")


@pytest.fixture
def kept(store, tmp_path):
    """The runs in a file."""
    for cell, arms in SCORES.items():
        for arm, seeds in arms.items():
            for seed, score in seeds.items():
                trained(store, cell, arm, seed, score)
    file = tmp_path / "runs.parquet"
    keep_runs(find(["science"], store.uri), str(file))
    return file


TABLE = """\
Scores. Mean ± standard deviation over seeds 1, 2, 3 (b 1, 2).

|  | a | b |
| --- | --- | --- |
| x | 0.900 ± 0.100 | 0.500 (1 of 2) |
| y | 0.800 ± 0.087 | 0.500 ± 0.141 |

Difference of two arms, mean over the seeds that both have, with its 95 % interval (Student's, of the differences):

|  | a | b | above in |
| --- | --- | --- | --- |
| x against y | +0.100 (-0.024 to +0.224) | -0.100 (1 of 2) | 1 of 2 cells |

Missing runs: b x of seed 2.
"""  # differences in a: 0.1, 0.05, 0.15, deviation 0.05; 4.303 * 0.05 / sqrt(3) = 0.124


def test_a_table_is_what_one_calculates_by_hand(kept, tmp_path):
    small = studies_of(tmp_path)["small"]
    assert draw(small, read_scores(small, kept)) == TABLE


def test_a_run_of_other_settings_is_named_and_does_not_count(store, tmp_path):
    small = studies_of(tmp_path)["small"]
    trained(store, "a", "x", 1, 0.8)
    trained(store, "a", "x", 2, 0.9, epochs=2)
    store.run("small.a.x.3", params={"monitor.split": "test", "epochs": 3}, values=(0.5,), experiment="science")
    store.run("other", values=(0.5, 0.5), experiment="science")
    file = tmp_path / "few.parquet"
    keep_runs(find(["science"], store.uri), str(file))
    scores = read_scores(small, file)
    assert {run.name: value for run, value in scores.of_runs.items()} == {"small.a.x.1": pytest.approx(0.8)}
    assert scores.left_out == [
        "small.a.x.2 has other settings than the study: epochs 2, not 3",
        "small.a.x.3 finished with 1 values of test/knn_top1",
    ]
    assert "a x of seed 2, 3; a y of all seeds; b x of all seeds" in draw(small, scores)


def test_a_run_of_other_data_or_another_start_is_named_and_does_not_count(store, tmp_path):
    small = studies_of(tmp_path)["small"]
    for seed, fingerprint in ((1, "old"), (2, "new"), (3, "new")):
        trained(store, "a", "x", seed, 0.8, **{"data": "/data/digits", "data.fingerprint": fingerprint})
    trained(store, "a", "y", 1, 0.8, **{"data.fingerprint": "new", "init_from": "/runs/first.a.z.1"})
    trained(store, "b", "x", 1, 0.8, **{"data": "/data/digits", "data.fingerprint": "another"})
    trained(store, "b", "y", 1, 0.8, **{"compute.precision": "bf16", "data.fingerprint": "another"})
    file = tmp_path / "inputs.parquet"
    keep_runs(find(["science"], store.uri), str(file))
    scores = read_scores(small, file)
    assert sorted(run.name for run in scores.of_runs) == ["small.a.x.2", "small.a.x.3", "small.b.y.1"]
    assert scores.left_out == [
        "small.a.y.1 has other settings than the study: init_from …/first.a.z.1, not None",
        "small.b.x.1 has other settings than the study: data …/digits, not other",
        "small.a.x.1 has other inputs than most runs that should have the same: data.fingerprint old, not new",
    ]


def test_of_two_runs_of_one_name_the_last_counts_and_that_is_said(store, tmp_path):
    small = studies_of(tmp_path)["small"]
    trained(store, "a", "x", 1, 0.8)
    trained(store, "a", "x", 1, 0.7)
    file = tmp_path / "twice.parquet"
    keep_runs(find(["science"], store.uri), str(file))
    scores = read_scores(small, file)
    assert list(scores.of_runs.values()) == [pytest.approx(0.7)]
    assert scores.left_out == ["small.a.x.1 was trained more than once: the last counts"]


def test_nothing_is_made_up_where_nothing_was_kept(store, tmp_path):
    small = studies_of(tmp_path)["small"]
    file = tmp_path / "none.parquet"
    keep_runs(Found("none"), str(file))
    drawn = draw(small, read_scores(small, file))
    assert "| x | - | - |" in drawn
    assert "| x against y | - | - | - |" in drawn
    assert "Missing runs: a x of all seeds; a y of all seeds" in drawn


def test_the_command_says_what_is_wrong_in_a_sentence(store, tmp_path, capsys):
    assert main(["table", "few-label", "--from", "none.parquet"]) == 2
    assert "nearest valid name: few-labels" in capsys.readouterr().err
    assert main(["table", "few-labels", "--from", "none.parquet"]) == 2
    assert "none.parquet is not there" in capsys.readouterr().err
