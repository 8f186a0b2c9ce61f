"""Ray Tune: each work-around works, and is still needed - a test that fails says which one can go."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import ray
import ray.data
from ray.tune import PlacementGroupFactory
from ray.tune.trainable import wrap_function

from pipelines.jobs.ray_quirks.tune import NEXT_TO_NOTHING, ends_with_its_function, fit


def test_ray_tune_takes_no_trial_that_asks_for_nothing():
    with pytest.raises(ValueError, match="empty"):
        PlacementGroupFactory([{"CPU": 0}])
    assert PlacementGroupFactory([NEXT_TO_NOTHING]).required_resources == NEXT_TO_NOTHING


def test_ray_tunes_newer_output_speaks_of_failed_trials_though_asked_to_be_silent(capsys):
    from ray.tune.experimental.output import AirVerbosity, TuneTerminalReporter

    trial = SimpleNamespace(trial_id="a", error_file="error.txt", run_metadata=SimpleNamespace(num_failures=1), last_result={})
    TuneTerminalReporter(AirVerbosity.SILENT, num_samples=1).on_trial_error(0, [trial], trial)
    assert "error.txt" in capsys.readouterr().out


def test_ray_tune_reads_for_a_result_the_pickles_of_errors_that_a_disk_had_no_room_for(tmp_path):
    from pyarrow.fs import LocalFileSystem
    from ray.tune.experiment.trial import Trial
    from ray.tune.result_grid import ResultGrid

    (tmp_path / "error.pkl").write_bytes(b"")
    storage = SimpleNamespace(storage_filesystem=LocalFileSystem(), trial_fs_path=str(tmp_path))
    trial = SimpleNamespace(storage=storage, run_metadata=SimpleNamespace(pickled_error_filename="error.pkl"), status=Trial.ERROR)
    trial.get_pickled_error = lambda: Trial.get_pickled_error(trial)
    with pytest.raises(EOFError):
        ResultGrid._populate_exception(trial)
    tuner = SimpleNamespace(fit=lambda: ResultGrid._populate_exception(trial))
    fit(tuner, lambda: True)
    with pytest.raises(EOFError):  # of something else, as trials are left
        fit(tuner, lambda: False)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("patient", [False, True])
def test_ray_tune_does_not_wait_for_what_a_stopped_function_has_to_close(local_ray, tmp_path, patient):
    closed = tmp_path / "closed"

    def function(settings):
        try:
            ray.tune.report({"score": 1})
        finally:
            time.sleep(2)
            closed.touch()

    made = wrap_function(function)
    running = ray.tune.RunConfig(storage_path=str(tmp_path), stop={"training_iteration": 1}, verbose=0)
    ray.tune.Tuner(ends_with_its_function(made, 30) if patient else made, run_config=running).fit()
    time.sleep(3)
    assert closed.exists() is patient
