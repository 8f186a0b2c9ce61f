"""A trial that was begun anew has one run in MLflow that counts."""

from __future__ import annotations

from pipelines.tracking.mlflow_store import RunAddress
from tune.trials.earlier_runs import REASON, end_earlier_runs


def test_earlier_runs_of_a_trial_do_not_stay_finished_or_running(store):
    parent = store.sweep()
    runs = [store.trial(parent, {"n": 1}, 0, values=(0.5,), outcome=how) for how in ("finished", "stopped", "failed", "finished")]
    store.client.update_run(runs[1], "RUNNING")  # whose process was killed
    other = store.trial(parent, {"n": 1}, 1, values=(0.5,))
    whole = [store.trial(parent, {"n": 2}, 0, values=(0.5,), outcome=how) for how in ("finished", "failed")]  # it alone has ended
    before = {run.info.run_id: run.info for run in store.client.search_runs(["1"], order_by=["start_time"])}
    end_earlier_runs(RunAddress(store.uri, store.client.get_run(parent).info.experiment_id, parent))
    after = store.client.search_runs(["1"], order_by=["start_time"])
    after = [run for run in after if run.data.tags.get("mlflow.parentRunId") == parent]
    assert [run.info.status for run in after] == ["KILLED", "KILLED", "FAILED", "FINISHED", "FINISHED", "FINISHED", "FAILED"]
    assert [run.data.tags.get("quorum.reason") == REASON for run in after] == [True, True, *[False] * 5]
    assert after[0].info.end_time == before[after[0].info.run_id].end_time
    assert [run.info.run_id for run in after[-3:]] == [other, *whole]
