"""How a job ends in its record, and where one of a single worker runs."""

from __future__ import annotations

import os

import pytest
import torch
from mlflow.tracking import MlflowClient

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.jobs import deaths
from pipelines.jobs.own_process import work_here
from pipelines.runs.run_folder import Run
from pipelines.runs.run_job import recorded

pytestmark = pytest.mark.ray


class Told:
    """What a record is told as it is closed."""

    def close(self, outcome):
        self.outcome = outcome
        return []


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [(UserError("no"), "FAILED"), (RuntimeError(), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(0), "KILLED")],
)
def test_a_record_says_how_the_job_ended_and_what_was_raised_passes_on(raised, outcome):
    record = Told()
    with pytest.raises(type(raised)), recorded(record, None):
        raise raised
    assert record.outcome == outcome


@pytest.mark.parametrize(("open_end", "outcome"), [(False, "FINISHED"), (True, "RUNNING")])
def test_a_job_that_ends_well_is_finished_unless_it_is_to_go_on(open_end, outcome):
    record = Told()
    with recorded(record, None, open_end=open_end):
        pass
    assert record.outcome == outcome


def test_a_run_whose_ray_is_about_to_end_the_command_has_failed(store, tmp_path):
    given = {"uri": store.uri, "experiment": "quorum", "name": "first", "params": {}, "tags": {}}
    run = Run.start(Location.of(tmp_path / "run"), "pretrain", {}, "", **given)
    with recorded(Told(), run):
        (act,) = deaths._last_acts
        act()
    assert MlflowClient(store.uri).get_run(run.address.run_id).info.status == "FAILED"


def test_a_single_worker_is_this_process_without_a_group_and_tells_what_it_is_given(local_ray):
    seen, told = [], []

    def work(job, worker):
        seen.append((job, os.getpid(), worker.rank, worker.count, worker.local_count, worker.device))
        worker.report({"epoch": 0.0})

    work_here(work, "job", told.append)
    assert seen == [("job", os.getpid(), 0, 1, 1, torch.device("cpu"))]
    assert told == [{"epoch": 0.0}]
    assert not torch.distributed.is_initialized()


def test_what_a_single_worker_raises_passes_unwrapped(local_ray):
    def refuse(job, worker):
        raise UserError("no")

    with pytest.raises(UserError, match=r"^no$"):
        work_here(refuse, "job", print)
