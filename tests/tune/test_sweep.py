"""A sweep on a real local Ray with a real MLflow store: trials side by side, a failed one, a stop, and a resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipelines.errors import UserError
from tune.plan import Plan
from tune.sweep import sweep
from tune.sweep_config import SchedulerConfig, SweepConfig
from tune.trial import OUTCOME_FILE

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

RECIPE = str(Path(__file__).parents[2] / "recipes" / "coke_digits.yaml")
SETTINGS = {
    "epochs": 3, "batch_size": 64, "backbone": {"name": "wrn-10-1", "stem": "auto", "options": {}}, "method.dim": 16,
    "method.predictor_hidden": 16, "monitor.knn_epochs": 1, "monitor.picture_epochs": 0, "optimizer.warmup_epochs": 0,
    "compute.threads": 1, "compute.max_failures": 0,
}  # fmt: skip


def config(digits: str, storage: Path, **parts) -> SweepConfig:
    given = {
        "kind": "pretrain", "recipe": RECIPE, "name": "sweep", "storage": str(storage), "concurrent": 2,
        "settings": SETTINGS | {"data.shards": digits}, "space": {"K": {"grid": [20, 40]}, "ratio": {"grid": [0.4, 1.0]}},
    }  # fmt: skip
    return SweepConfig(**(given | parts))


def trials(address) -> list:
    client = MlflowClient(address.uri)
    found = client.search_runs([address.experiment_id], f"tags.`mlflow.parentRunId` = '{address.run_id}'")
    return sorted(found, key=lambda run: run.data.tags["quorum.point"])


@pytest.fixture(scope="module")
def done(digits, tmp_path_factory):
    """Four trials, two at a time."""
    storage = tmp_path_factory.mktemp("sweeps")
    settings = config(digits, storage)
    return settings, sweep(settings)


def test_each_trial_is_a_child_with_its_settings_curves_and_outcome(done):
    _, address = done
    client = MlflowClient(address.uri)
    parent = client.get_run(address.run_id)
    assert parent.info.status == "FINISHED"
    assert (parent.data.tags["quorum.kind"], parent.data.tags["quorum.metric"]) == ("sweep", "knn_top1")
    children = trials(address)
    assert [json.loads(run.data.tags["quorum.point"]) for run in children] == [
        {"K": k, "ratio": ratio} for k in (20, 40) for ratio in (0.4, 1.0)
    ]
    for run in children:
        point = json.loads(run.data.tags["quorum.point"])
        assert run.info.status == "FINISHED"
        assert run.data.tags["quorum.outcome"] == "finished"
        assert run.data.params["method.num_clusters"] == str([point["K"]])
        assert run.data.params["method.min_size_ratio"] == str(point["ratio"])
        assert len(client.get_metric_history(run.info.run_id, "knn_top1")) == 3


def test_a_resume_repeats_no_finished_trial_and_runs_the_rest(done, digits):
    settings, address = done
    plan = Plan.of(settings)
    (plan.run_folder({"K": 40, "ratio": 1.0}, 0) / OUTCOME_FILE).delete_file()  # as if it had been cut off at its end
    before = {run.info.run_id: run.info.end_time for run in trials(address)}
    again = sweep(settings, resume=True)
    assert again == address
    assert {run.info.run_id for run in trials(address)} == before.keys()
    histories = [MlflowClient(address.uri).get_metric_history(run_id, "knn_top1") for run_id in before]
    assert [len(history) for history in histories] == [3] * 4
    with pytest.raises(UserError, match=r"already holds a sweep.*--resume"):
        sweep(settings)


@pytest.mark.slow
def test_a_trial_that_fails_is_said_and_does_not_end_the_sweep(digits, tmp_path):
    settings = config(digits, tmp_path, space={"optimizer.lr": {"grid": [0.03, 1e30]}})
    address = sweep(settings)
    outcomes = {json.loads(run.data.tags["quorum.point"])["optimizer.lr"]: run.data.tags for run in trials(address)}
    assert outcomes[0.03]["quorum.outcome"] == "finished"
    assert outcomes[1e30]["quorum.outcome"] == "failed"
    assert "the loss is" in outcomes[1e30]["quorum.reason"]


@pytest.mark.slow
def test_asha_stops_trials_and_the_record_says_so(digits, tmp_path):
    asha = SchedulerConfig("asha", grace_epochs=2, reduction=2)
    rates = {"optimizer.lr": {"grid": [0.03, 1e-7, 1e-8, 1e-9]}}
    longer = SETTINGS | {"data.shards": digits, "epochs": 4}
    settings = config(
        digits, tmp_path, space=rates, concurrent=1, metric="epoch_loss", mode="min", scheduler=asha, settings=longer
    )
    address = sweep(settings)
    ends = [(run.data.tags["quorum.outcome"], run.info.status) for run in trials(address)]
    assert set(ends) == {("stopped", "KILLED"), ("finished", "FINISHED")}


def test_more_trials_than_fit_are_refused(digits, tmp_path):
    with pytest.raises(UserError, match=r"9 trials at a time with 1 workers each do not fit the cluster"):
        sweep(config(digits, tmp_path, concurrent=9))
    assert not (tmp_path / "sweep").exists()
