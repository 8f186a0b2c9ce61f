"""Runs of trials that were begun anew: in MLflow the newest alone stands for its trial."""

from __future__ import annotations

from pipelines.tracking.mlflow_store import RunAddress, asking
from tune.comparison.mlflow_runs import newest_of_trials, runs_of, trial_of

REASON = "the trial was begun anew without its folder; its newest run counts"


def end_earlier_runs(sweep: RunAddress) -> None:
    """Earlier runs of a trial whose newest one is FINISHED do not stay so, nor RUNNING: they are KILLED, as none counts.

    Raises:
        UserError: when the store does not answer.
    """
    with asking(sweep.uri, "start it; the next --resume asks again") as client:
        runs = runs_of(client, sweep.experiment_id, sweep.run_id)
        newest = newest_of_trials(runs)
        for run in runs:
            last = newest[trial_of(run)].info
            if run.info.run_id != last.run_id and last.status == "FINISHED" and run.info.status in ("FINISHED", "RUNNING"):
                client.set_tag(run.info.run_id, "quorum.reason", REASON)
                client.set_terminated(run.info.run_id, "KILLED", run.info.end_time)
