"""`quorum compare` over a real MLflow store: what is compared, at which budget, and what is written."""

from __future__ import annotations

import csv
import json
import os

import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from pipelines.errors import UserError
from pipelines.tracking.figures import IMAGES_SEEN
from pipelines.tracking.mlflow_store import start_run
from tests.helpers.runs.version_0_1 import SWEEP, unpack
from tune.comparison.compare import METRICS, compare
from tune.comparison.tables import show, verdict


@pytest.fixture
def ablation(store):
    """A sweep of two settings with three seeds each, one with one seed, and trials that stopped or failed."""
    parent = store.sweep("ablation")
    for seed, last in enumerate((0.90, 0.91, 0.92)):
        sizes = [(40.0, 30 + seed, 200), (40.0, 36 + seed, 150)]
        store.trial(parent, {"n": 100, "alpha": 0.8}, seed, values=(0.5, last), sizes=sizes, name=f"good-{seed}")
    for seed, last in enumerate((0.80, 0.81, 0.82)):
        store.trial(parent, {"n": 10, "alpha": 0.8}, seed, values=(0.5, last), name=f"bad-{seed}")
    store.trial(parent, {"n": 100, "alpha": 0.2}, 0, values=(0.3, 0.4), name="single")
    store.trial(parent, {"n": 10, "alpha": 0.8}, 3, values=(0.99,), outcome="stopped", seconds=30)
    store.trial(parent, {"n": 1, "alpha": 0.2}, 0, values=(0.99,), outcome="stopped", seconds=30)
    store.trial(parent, {"n": 10, "alpha": 0.2}, 0, outcome="failed", reason="no room for batches", seconds=5)
    return parent


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scores_of(compared):
    return {tuple(line.point.values()): line.judged.setting.scores for line in compared.lines if line.judged}


def test_a_sweep_is_compared_by_its_own_metric(store, ablation):
    compared = compare([ablation])
    assert (compared.metric, compared.mode, compared.keys) == ("test/knn_top1", "max", ("alpha", "n"))
    best, worse, single, *unfinished = compared.lines
    assert (best.point, best.judged.verdict, best.judged.setting.scores) == ({"alpha": 0.8, "n": 100}, "best", (0.90, 0.91, 0.92))
    assert (worse.point, worse.judged.verdict) == ({"alpha": 0.8, "n": 10}, "worse")
    assert worse.judged.setting.scores == (0.80, 0.81, 0.82)
    assert verdict(single.judged) == "cannot tell: one seed"
    assert [line.judged for line in unfinished] == [None, None]


def test_cost_is_of_all_runs_of_a_setting(store, ablation):
    lines = {(line.point["n"], line.point["alpha"]): line for line in compare([ablation]).lines}
    assert (lines[100, 0.8].images, lines[100, 0.8].seconds) == (600, 180)
    assert (lines[10, 0.8].images, lines[10, 0.8].seconds) == (700, 210)
    assert dict(lines[10, 0.8].outcomes) == {"finished": 3, "stopped": 1}
    assert (lines[10, 0.2].images, dict(lines[10, 0.2].outcomes)) == (0, {"failed": 1})


def test_the_notes_say_what_ended_how_and_why(store, ablation):
    notes = "\n".join(compare([ablation]).notes)
    assert "10 runs: 7 finished, 2 stopped, 1 failed, 0 running; 1,600 images" in notes
    assert "failures: no room for batches (1)" in notes
    assert "never compared by score" in notes
    assert "warning" not in notes


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (((0, 1, 2), (0, 1, 2), (0, 1, 2)), "t-test seed by seed, one noise for all, against the best"),
        (((0, 1, 2), (3, 4, 5), (6, 7, 8)), "Welch's t-test against the best"),
        (((0, 1, 2, 3), (0, 1, 2, 3), (4, 5, 6)), "(Welch's where the seeds are not the best's), against the best"),
    ],
)
def test_the_notes_say_which_test_a_p_is_of(store, seeds, said):
    parent = store.sweep()
    noise = {0: 0.01, 1: -0.02, 2: 0.03, 3: -0.01, 4: 0.02, 5: -0.03, 6: 0.02, 7: 0.0, 8: -0.01}
    for setting, mine in enumerate(seeds):
        for seed in mine:
            value = 0.9 - 0.1 * setting + noise[seed] + 0.003 * (-1) ** (setting * seed)
            store.trial(parent, {"n": setting}, seed, values=(value,))
    assert any(note.startswith("p: ") and said in note for note in compare([parent]).notes)


@pytest.mark.parametrize(
    ("metric", "said"),
    [("val/knn_top1", "chosen on val"), ("test/knn_top1", "chosen on test, so no image is left"), ("train/epoch_loss", None)],
)
def test_the_notes_say_which_images_chose(store, metric, said):
    parent = store.sweep(metric=metric)
    store.trial(parent, {"n": 1}, 0, values=(0.2,), metric=metric)
    found = [note for note in compare([parent]).notes if note.startswith("chosen on")]
    assert len(found) == (said is not None)
    assert not said or found[0].startswith(said)


def test_final_scores_are_those_of_evaluate_and_choose_nothing(store):
    parent = store.sweep(metric="val/knn_top1")
    chosen = [store.trial(parent, {"n": 1}, seed, values=(0.9,), metric="val/knn_top1", name=f"a{seed}") for seed in (0, 1, 2)]
    other = store.trial(parent, {"n": 2}, 0, values=(0.8,), metric="val/knn_top1", name="b0")
    for run, final in ((chosen[0], 0.6), (chosen[1], 0.7), (other, 0.99)):
        store.client.log_metric(run, "evaluate/test/knn_top1", final)
    compared = compare([parent], final=True)
    assert [line.point for line in compared.lines] == [{"n": 1}, {"n": 2}]
    assert [(line.final.mean, line.final.runs) for line in compared.lines] == [(pytest.approx(0.65), 2), (0.99, 1)]
    assert any("no evaluate/test/knn_top1 yet of a2; quorum evaluate FOLDER/checkpoints/best" in note for note in compared.notes)
    assert compare([parent]).lines[0].final is None


def test_the_score_that_most_runs_have_decides_and_on_val_first_where_nothing_is_named(store):
    for metric in ("test/knn_top1", "val/knn_top1", "test/accuracy_ema"):
        store.run(metric, values=(0.5,), metric=metric)
    assert compare(["quorum"]).metric == "val/knn_top1"
    store.run("more", values=(0.5,), metric="test/knn_top1")
    assert compare(["quorum"]).metric == "test/knn_top1"


def test_a_final_score_is_that_of_the_last_evaluation_also_of_an_earlier_checkpoint(store):
    parent = store.sweep(metric="val/knn_top1")
    run = store.trial(parent, {"n": 1}, 0, values=(0.9,), metric="val/knn_top1")
    for value, time, step in ((0.9, 1_000, 40), (0.6, 2_000, 20)):  # of the newest, then of the best
        store.client.log_metric(run, "evaluate/test/knn_top1", value, timestamp=time, step=step)
    (line,) = compare([parent], final=True).lines
    assert line.final.mean == 0.6


def test_a_final_score_is_of_the_runs_that_are_compared(store):
    parent = store.sweep(metric="val/knn_top1")
    for seed, outcome, final in ((0, "finished", 0.8), (1, "stopped", 0.1)):
        run = store.trial(parent, {"n": 1}, seed, values=(0.9,), metric="val/knn_top1", outcome=outcome)
        store.client.log_metric(run, "evaluate/test/knn_top1", final)
    (line,) = compare([parent], final=True).lines
    assert (line.final.mean, line.final.runs) == (0.8, 1)


def test_the_best_row_counts_not_the_last(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.2, 0.8, 0.3))
    store.trial(parent, {"n": 2}, 0, values=(0.4, 0.5, 0.6))
    compared = compare([parent])
    assert scores_of(compared) == {(1,): (0.8,), (2,): (0.6,)}
    assert [row.step for _, row in compared.runs] == [20, 30]


def test_the_smallest_row_counts_where_less_is_better(store):
    parent = store.sweep(metric="clusters/head0/nmi", mode="max")
    store.trial(parent, {"n": 1}, 0, values=(0.2, 0.8, 0.3), metric="my_loss")
    store.trial(parent, {"n": 2}, 0, values=(0.4, 0.1, 0.6), metric="my_loss")
    assert scores_of(compare([parent], metric="my_loss")) == {(1,): (0.2,), (2,): (0.1,)}
    assert scores_of(compare([parent], metric="my_loss", mode="max")) == {(1,): (0.8,), (2,): (0.6,)}


def test_the_sweeps_mode_holds_for_its_own_metric(store):
    parent = store.sweep(metric="surprise", mode="min")
    store.trial(parent, {"n": 1}, 0, values=(0.2, 0.8), metric="surprise")
    assert scores_of(compare([parent])) == {(1,): (0.2,)}


def test_runs_are_compared_at_the_largest_budget_that_all_finished_ones_reached(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.2, 0.3, 0.9))
    store.trial(parent, {"n": 2}, 0, values=(0.4, 0.5))
    store.trial(parent, {"n": 3}, 0, values=(0.7,), outcome="stopped")
    compared = compare([parent])
    assert scores_of(compared) == {(1,): (0.3,), (2,): (0.5,)}
    assert str(compared.budget) == "200 images"
    assert compared.notes[0].startswith("warning: budgets differ, from 200 images to 300 images; compared at 200 images")


def test_the_budget_counts_images_not_epochs(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.2, 0.9), images=200)
    store.trial(parent, {"n": 2}, 0, values=(0.3, 0.4), images=100)
    assert scores_of(compare([parent])) == {(1,): (0.2,), (2,): (0.4,)}


def test_a_rest_that_a_batch_size_leaves_out_is_no_other_budget(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.2, 0.9), images=1008)
    store.trial(parent, {"n": 2}, 0, values=(0.3, 0.4), images=1000)
    compared = compare([parent])
    assert scores_of(compared) == {(1,): (0.9,), (2,): (0.4,)}
    assert not any("warning" in note for note in compared.notes)


def test_a_run_without_a_score_by_then_is_left_out_and_named(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.5, 0.6), every=1)
    store.trial(parent, {"n": 2}, 0, values=(0.7,), every=4, name="late")
    store.trial(parent, {"n": 3}, 0, values=(0.7,), metric="other", name="without")
    compared = compare([parent])
    assert scores_of(compared) == {(1,): (0.6,)}
    assert "warning: no test/knn_top1 within the budget, so not compared: late, without" in compared.notes


def test_a_figure_that_came_twice_counts_as_it_came_last(store):
    parent = store.sweep()
    run = store.trial(parent, {"n": 1}, 0, values=(0.9, 0.4))
    stamp = store.client.get_run(run).info.end_time + 1
    store.client.log_metric(run, "test/knn_top1", 0.3, timestamp=stamp, step=10)
    assert scores_of(compare([parent])) == {(1,): (0.4,)}


def test_a_figure_that_is_not_finite_is_no_score(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(float("nan"), 0.4, float("inf")))
    assert scores_of(compare([parent])) == {(1,): (0.4,)}


def test_runs_with_the_same_seed_are_one_repetition(store):
    for score in (0.4, 0.6):
        store.run(params={"seed": 0}, values=(score,))
    compared = compare(["quorum"])
    assert scores_of(compared) == {(): (0.5,)}
    assert any(note.startswith("warning: 1 runs repeat a setting with the same seed") for note in compared.notes)


def test_of_a_trial_that_began_anew_the_newest_run_counts(store):
    parent = store.sweep()
    for score in (0.9, 0.4):  # between them its folder was deleted, and the sweep gone on with
        store.trial(parent, {"n": 1}, 0, values=(score,))
    store.trial(parent, {"n": 2}, 0, values=(0.5,))
    kept = str(store.folder / "kept.parquet")
    for compared in (compare([parent], keep=kept), compare(["quorum"]), compare([parent], kept)):
        assert scores_of(compared) == {(2,): (0.5,), (1,): (0.4,)}
    assert "1 run left out, of trials that began anew when their folders were gone" in compare(["quorum"]).notes
    assert not any("belong to no trial" in note or "repeat a setting" in note for note in compare(["quorum"]).notes)


def test_what_is_written_and_kept_with_the_sweep(store, ablation, tmp_path):
    compared = compare([ablation], to=str(tmp_path / "here"))
    names = ["by-key.png", "cluster-sizes.png", "comparison.txt", "importance.png", "report.html", "runs.csv", "settings.csv"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == names
    assert compared.notes[-1].startswith(
        f"files: {tmp_path}/here, and comparison/ of the sweep {ablation}: http://127.0.0.1:5000/#/"
    )
    kept = store.client.list_artifacts(ablation, "comparison")
    assert [file.path for file in kept] == [f"comparison/{name}" for name in names]
    for name in ("by-key.png", "cluster-sizes.png", "importance.png"):
        with Image.open(tmp_path / "here" / name) as picture:
            picture.verify()


def test_what_an_earlier_comparison_left_goes_and_nothing_of_the_users(store, ablation, tmp_path):
    for name in ("curves-mine.png", "clusters.csv"):
        (tmp_path / name).write_text("mine")
    compare([ablation], store.uri, to=str(tmp_path))
    assert (tmp_path / "curves-mine.png").exists()  # which no comparison had been there to leave
    compare([ablation], store.uri, to=str(tmp_path))
    assert not (tmp_path / "curves-mine.png").exists()
    assert {"comparison.txt", "report.html"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("room", [20_000, 0])
def test_a_comparison_that_is_refused_midway_leaves_the_earlier_one_as_it_was(store, ablation, tmp_path, small_files, room):
    folder = tmp_path / "compared"
    compare([ablation], store.uri, to=str(folder))
    (folder / "curves-old.png").write_text("of the earlier one")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    store.trial(ablation, {"n": 5, "alpha": 0.8}, 0, values=(0.7,))
    with pytest.raises(UserError, match="cannot be written: "), small_files(room):  # room for tables, or for nothing
        compare([ablation], store.uri, to=str(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_killed_comparisons_have_begun_goes_and_what_others_are_at_stays(store, ablation, tmp_path):
    killed, at_work, others = (tmp_path / f".comparison-{name}" for name in ("k1lled__", "at_work_", "mine"))
    for begun in (killed, at_work, others):
        begun.mkdir()
        (begun / "report.html").write_text("")
    for begun in (killed, others):
        os.utime(begun, (0, 0))
    (tmp_path / ".comparison-notes.txt").write_text("")
    compare([ablation], store.uri, to=str(tmp_path))
    assert {path.name for path in tmp_path.glob(".comparison*")} == {at_work.name, others.name, ".comparison-notes.txt"}


def test_one_that_finds_no_place_leaves_the_report_of_the_earlier_one(store, ablation, tmp_path):
    compare([ablation], store.uri, to=str(tmp_path))
    report = (tmp_path / "report.html").read_bytes()
    (tmp_path / "settings.csv").unlink()
    (tmp_path / "settings.csv").mkdir()
    with pytest.raises(UserError, match="cannot be written: "):
        compare([ablation], store.uri, to=str(tmp_path))
    assert (tmp_path / "report.html").read_bytes() == report


def test_a_folder_may_be_given_as_a_uri_of_this_machine(store, ablation, tmp_path):
    compared = compare([ablation], store.uri, to=f"file://{tmp_path}/here")
    assert compared.folder == tmp_path / "here"
    assert (tmp_path / "here" / "report.html").exists()


def test_results_that_mlflow_does_not_take_are_still_there(store, ablation, tmp_path):
    (store.folder / "mlartifacts").write_text("a file where the folder of artifacts should be")
    compared = compare([ablation], to=str(tmp_path / "here"))
    assert compared.notes[-1].startswith(f"files: {tmp_path}/here; warning: not kept with the sweep, MLflow at sqlite:")
    assert (tmp_path / "here" / "settings.csv").exists()


def test_the_csv_of_settings(store, ablation, tmp_path):
    compare([ablation], to=str(tmp_path))
    best, worse, single, *_ = rows_of(tmp_path / "settings.csv")
    assert (best["alpha"], best["n"], best["verdict"], best["p"], best["seeds"]) == ("0.8", "100", "best", "", "3")
    assert (float(best["mean"]), float(best["deviation"])) == (pytest.approx(0.91), pytest.approx(0.01))
    half = 4.302653 * 0.01 / 3**0.5
    assert (float(best["low"]), float(best["high"])) == (pytest.approx(0.91 - half), pytest.approx(0.91 + half))
    assert [float(best[name]) for name in ("min_size", "cluster_size_min", "cluster_size_max")] == [40, 37, 150]
    assert (worse["verdict"], worse["stopped"], worse["finished"], worse["images"]) == ("worse", "1", "3", "700.0")
    assert float(worse["p"]) < 0.01
    assert (single["verdict"], single["deviation"], single["p"], single["min_size"]) == ("one seed", "", "", "")


def test_the_csv_of_runs(store, ablation, tmp_path):
    compare([ablation], to=str(tmp_path))
    rows = {row["name"]: row for row in rows_of(tmp_path / "runs.csv")}
    assert len(rows_of(tmp_path / "runs.csv")) == 10
    good = rows["good-2"]
    assert (good["n"], good["seed"], good["outcome"], good["score"], good["step"], good["epoch"]) == (
        "100", "2", "finished", "0.92", "20", "1.0",
    )  # fmt: skip
    failed = next(row for row in rows_of(tmp_path / "runs.csv") if row["outcome"] == "failed")
    assert (failed["reason"], failed["score"]) == ("no room for batches", "")


def test_an_experiment_stands_for_its_runs(store):
    for seed in range(2):
        store.run(params={"method.dim": 64, "seed": seed}, values=(0.5,))
        store.run(params={"method.dim": 128, "seed": seed}, values=(0.6 + seed / 100,))
    compared = compare(["quorum"])
    assert (compared.name, compared.keys) == ("quorum", ("method.dim",))
    assert scores_of(compared) == {(128,): (0.60, 0.61), (64,): (0.5, 0.5)}


def test_an_experiment_stands_for_its_only_sweep(store, ablation):
    store.run("other", values=(0.99,))
    compared = compare(["quorum"])
    assert len(compared.runs) == 10
    assert "1 runs of experiment 'quorum' belong to no trial of its sweep and are left out" in compared.notes
    assert store.client.list_artifacts(ablation, "comparison")


def test_an_experiment_with_two_sweeps_asks_for_one(store):
    ids = [store.sweep("first"), store.sweep("second")]
    with pytest.raises(UserError, match="holds 2 sweeps; compare one by its run id") as refusal:
        compare(["quorum"])
    assert all(f"{run} ({name})" in str(refusal.value) for run, name in zip(ids, ("first", "second"), strict=True))


def test_two_sweeps_are_compared_by_the_parameters_in_which_all_runs_differ(store):
    parents = [store.sweep("first"), store.sweep("second")]
    for parent, epochs in zip(parents, (1, 2), strict=True):
        store.trial(parent, {"n": 10}, 0, values=(0.5, 0.5 + epochs / 10), params={"epochs": epochs, "method.n": 10, "seed": 0})
    compared = compare(parents)
    assert scores_of(compared) == {(2,): (0.7,), (1,): (0.6,)}
    assert compared.keys == ("epochs",)
    assert [store.client.list_artifacts(parent) for parent in parents] == [[], []]


def test_runs_by_id_come_once_and_only_they(store):
    ids = [store.run(f"run-{dim}", params={"dim": dim, "seed": 0}, values=(dim / 1000,)) for dim in (64, 128, 256)]
    assert scores_of(compare([ids[0], ids[2], ids[0]])) == {(256,): (0.256,), (64,): (0.064,)}


def test_some_trials_of_a_sweep_leave_its_artifacts_alone(store, ablation):
    trials = [run.info.run_id for run in store.client.search_runs(["1"], "attributes.run_name LIKE 'good%'")]
    assert compare(trials).keys == ("alpha", "n")
    assert store.client.list_artifacts(ablation) == []


def test_a_run_folder_stands_for_its_run_in_its_own_store(store, tmp_path, monkeypatch):
    for dim in (64, 128):
        run = store.run(params={"dim": dim, "seed": 0}, values=(dim / 1000,))
        (tmp_path / f"run-{dim}").mkdir()
        address = {"uri": store.uri, "experiment_id": "1", "run_id": run}
        content = {"format": 1, "kind": "pretrain", "mlflow": address, "identity": {}}
        (tmp_path / f"run-{dim}" / "run.json").write_text(json.dumps(content))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/absent.db")
    assert scores_of(compare(["run-64", "run-128"])) == {(128,): (0.128,), (64,): (0.064,)}


def test_without_a_sweep_the_metric_is_the_accuracy_or_knn(store):
    # What decides during training, see pipelines.training.epoch_scores.
    assert METRICS == ("val/accuracy_ema", "val/knn_top1", "test/accuracy_ema", "test/knn_top1")
    run = store.run(values=(0.5,))
    assert compare([run]).metric == "test/knn_top1"
    store.client.log_metric(run, "test/accuracy_ema", 0.7, step=10)
    assert compare([run]).metric == "test/accuracy_ema"
    assert compare([run], metric="train/epoch_loss").mode == "min"


def test_one_setting_alone_is_told_without_keys(store):
    ids = [store.run(params={"seed": seed}, values=(0.5 + seed / 10,)) for seed in range(3)]
    compared = compare(ids)
    assert (compared.keys, compared.lines[0].judged.setting.seeds) == ((), 3)


def test_a_running_run_costs_but_is_not_compared(store):
    parent = store.sweep()
    store.trial(parent, {"n": 1}, 0, values=(0.5,))
    store.run(
        tags={"mlflow.parentRunId": parent, "quorum.point": '{"n": 2}', "quorum.seed": "0"}, values=(0.9,), status="RUNNING"
    )
    compared = compare([parent])
    line = compared.lines[1]
    assert (line.judged, dict(line.outcomes), line.images, line.seconds) == (None, {"running": 1}, 100, 60)


def test_more_runs_than_a_page_of_the_search_are_all_read(store, monkeypatch):
    monkeypatch.setattr("tune.comparison.mlflow_runs.PAGE", 3)
    parent = store.sweep()
    for n in range(7):
        store.trial(parent, {"n": n}, 0, values=(n / 10,))
    assert len(compare([parent]).runs) == 7


@pytest.mark.parametrize(
    ("targets", "more", "said"),
    [
        (["quorm"], {}, "has no experiment 'quorm', and it is no run's id or folder; nearest valid name: quorum"),
        (["a" * 32], {}, f"has no run {'a' * 32}; correct the id or --tracking.uri"),
        (["empty"], {}, "empty holds no runs yet"),
        (["quorum"], {"metric": "knn_top"}, "no run has the figure 'knn_top'; nearest valid name: test/knn_top1; there is "),
        (["quorum"], {"metric": "knn_top1"}, "knn_top1 is test/knn_top1 now"),
        (["quorum"], {"uri": "sqlite:////no/mlflow.db"}, "no MLflow store at sqlite:////no/mlflow.db; give --tracking.uri"),
        (["quorum"], {"to": "outputs/mlflow.db"}, "outputs/mlflow.db cannot be written"),
        (["quorum"], {"to": "s3://bucket/compared"}, "to is s3://bucket/compared; pictures are drawn on this machine: give"),
        (["losses"], {}, "or test/knn_top1; give --metric, one of other, progress/epoch, "),
        (["stopped"], {}, "no run of stopped has finished with the figure 'test/knn_top1' (runs: 1 failed, 2 stopped)"),
        (["bad"], {}, "its tag quorum.point is '[1]', which is no JSON object"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(store, targets, more, said):
    store.run(values=(0.5,))
    store.run(experiment="losses", values=(0.5,), metric="other")
    for status in ("KILLED", "KILLED", "FAILED"):
        store.run(experiment="stopped", values=(0.5,), status=status)
    store.run(experiment="bad", values=(0.5,), tags={"quorum.point": "[1]", "mlflow.parentRunId": "x"})
    store.client.create_experiment("empty")
    with pytest.raises(UserError) as refusal:
        compare(targets, **more)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_was_deleted_is_refused_with_the_command_that_restores_it(store):
    first, second, elsewhere = (store.run(values=(0.5,), experiment=name) for name in ("quorum", "quorum", "other"))
    store.client.delete_run(second)
    with pytest.raises(UserError, match=f"the run {second} was deleted .* mlflow runs restore --run-id {second}"):
        compare([first, second])
    store.client.delete_experiment(store.client.get_experiment_by_name("other").experiment_id)
    with pytest.raises(UserError, match="experiment 'other' was deleted"):
        compare([elsewhere])


def test_values_that_no_float_holds_and_names_of_several_lines_are_compared(store, capsys):
    values = ("9" * 400, "1e999", "NaN", "a\nb\x1b[2J")
    runs = [store.run(f"run\n{place}", params={"key": value}, values=(place / 10,)) for place, value in enumerate(values)]
    compared = compare(runs)
    show(compared)
    assert "\x1b" not in (shown := capsys.readouterr().out)
    assert "key a b" in shown
    assert [record.name for record, _ in compared.runs] == [f"run {place}" for place in range(4)]


def test_sweeps_that_rank_by_different_figures_ask_for_one(store):
    parents = [store.sweep("first"), store.sweep("second", metric="test/accuracy_ema")]
    for parent in parents:
        store.trial(parent, {"n": 1}, values=(0.5,))
    with pytest.raises(UserError, match="rank by different figures \\(test/accuracy_ema, test/knn_top1\\); give --metric"):
        compare(parents)


@pytest.fixture
def old(tmp_path, monkeypatch):
    """What version 0.1 left behind; `outputs` holds its record."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(unpack(tmp_path))
    return tmp_path


def test_a_sweep_of_version_0_1_is_compared_under_the_present_names(old, capsys):
    compared = compare([SWEEP])
    show(compared, sizes=True)
    assert (compared.metric, compared.mode, compared.keys) == ("test/knn_top1", "max", ("ratio",))
    assert compared.budget.axis == IMAGES_SEEN
    assert sorted(len(scores) for scores in scores_of(compared).values()) == [2, 2]
    assert all(line.images > 0 and None not in line.sizes for line in compared.lines)
    assert "small: test/knn_top1 (max)" in capsys.readouterr().out
    assert compare([SWEEP], metric="train/epoch_loss").mode == "min"
    with pytest.raises(UserError, match="knn_top1 is test/knn_top1 now"):
        compare([SWEEP], metric="knn_top1")


def test_old_runs_and_new_ones_are_compared_together(old):
    uri = f"sqlite:///{old}/outputs/mlflow.db"
    new = start_run(uri, "quorum", "new", params={}, tags={}).run_id
    client = MlflowClient(uri)
    for step, score in ((11, 0.5), (22, 0.99)):
        for name, value in (("test/knn_top1", score), ("progress/images_seen", 64 * step), ("progress/epoch", step / 11 - 1)):
            client.log_metric(new, name, value, step=step)
    client.set_terminated(new, "FINISHED")
    compared = compare([SWEEP, new])
    assert len(compared.runs) == 5
    assert compared.metric == "test/knn_top1"
    assert all(row for _, row in compared.runs)


def test_a_run_that_version_0_1_began_is_one_series(store):
    run = store.run(values=(0.3,), status="RUNNING")
    for step, name, score in ((20, "knn_top1", 0.4), (30, "test/knn_top1", 0.6)):
        store.client.log_metric(run, name, score, step=step)
        store.client.log_metric(run, "progress/images_seen" if "/" in name else "images_seen", step * 10.0, step=step)
    store.client.set_terminated(run, "FINISHED")
    compared = compare([run])
    (record, row) = compared.runs[0]
    assert record.series["test/knn_top1"] == {10: 0.3, 20: 0.4, 30: 0.6}
    assert (row.step, row.value, record.last["test/knn_top1"]) == (30, 0.6, 0.6)


VERSIONS = {"torch": "2.9.0", "ray": "2.60.0", "quorum": "0.2.0", "source": "0123456789", "git_commit": "a" * 40}


def made_unlike(store, params, *tags):
    """Two runs of each of two settings, which differ in nothing but the seed, and the notes on their comparison."""
    for index, each in enumerate(tags):
        for dim in ("64", "128"):
            given = {"method.dim": dim, "seed": str(index)} | params[index]
            store.run(f"run-{index}-{dim}", params=given, values=(0.5, 0.6 + index / 100), tags=VERSIONS | each)
    return [note for note in compare(["quorum"]).notes if "warning" in note]


def test_versions_that_differ_among_the_runs_are_said_in_one_line(store, capsys):
    (note,) = made_unlike(store, ({}, {}), {}, {"torch": "2.10.0", "source": "9876543210", "git_commit": "b" * 40})
    assert note == (
        "warning: versions differ among the runs, which may be a part of what their scores differ by: "
        "quorum 0.2.0 of source 0123456, commit aaaaaaa (2 runs), 0.2.0 of source 9876543, commit bbbbbbb (2 runs); "
        "torch 2.10.0 (2 runs), 2.9.0 (2 runs)"
    )
    compared = compare(["quorum"])
    show(compared)
    assert note in capsys.readouterr().out
    assert "torch 2.10.0 (2 runs)" in (compared.folder / "report.html").read_text()


def test_runs_of_the_same_versions_or_of_the_same_source_at_another_commit_are_alike(store):
    assert made_unlike(store, ({}, {}), {}, {"git_commit": "b" * 40}) == []


def test_repetitions_that_had_other_workers_are_said(store):
    (note,) = made_unlike(store, ({"compute.workers": "1"}, {"compute.workers": "4"}), {}, {})
    assert note.startswith("warning: repetitions of a setting differ in compute.workers 1 (2 runs), 4 (2 runs); sums in another")


def test_the_split_that_the_data_decided_is_the_same_as_if_it_was_given(store):
    tags = {"quorum.chosen_by": "test/knn_top1"}
    for seed, split in enumerate(("None", "test")):
        params = {"method.num_clusters": "[9]", "monitor.split": split, "seed": str(seed)}
        store.run(params=params, values=(0.5,), tags=tags)
    assert compare(["quorum"]).keys == ()
