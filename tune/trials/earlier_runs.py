"""Runs of trials that were begun anew: in MLflow the newest alone stands for its trial."""

from __future__ import annotations

from pipelines.tracking.mlflow_store import RunAddress, asking
from tune.comparison.mlflow_runs import newest_of_trials, runs_of

REASON = "the trial was begun anew without its folder; its newest run counts"


def end_earlier_runs(sweep: RunAddress) -> None:
    """Earlier runs of a trial that has a newer one do not stay FINISHED or RUNNING: they are KILLED, as what counts in no score.

    Raises:
        UserError: when the store does not answer.
    """
    with asking(sweep.uri, "start it; the next --resume asks again") as client:
        runs = runs_of(client, sweep.experiment_id, sweep.run_id)
        newest = {run.info.run_id for run in newest_of_trials(runs).values()}
        for run in runs:
            if run.info.run_id not in newest and run.info.status in ("FINISHED", "RUNNING"):
                client.set_tag(run.info.run_id, "quorum.reason", REASON)
                client.set_terminated(run.info.run_id, "KILLED", run.info.end_time)
