"""Runs of one name and of the same settings are still others where data, labels or start were: that is seen and said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.science.configurations import Places, configuration
from benchmarks.science.inputs import changed_inputs, other_inputs, recorded, unlike_most
from benchmarks.science.read_studies import read_studies
from benchmarks.science.study import Planned
from pipelines.runs.initial_weights import InitialWeights
from pipelines.runs.trained_model import initial_weights
from pipelines.tracking.journal import Journal
from tests.benchmarks.science.small_study import SMALL, studies_of
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.runs.made_runs import RunMaker

STUDIES = read_studies()
FEW = STUDIES["few-labels"]
RUN = Planned("few-labels", "digits-4", "protocon-rule-coke", 2)
PARAMS = {  # as training records them
    "data": "/data/digits", "data.fingerprint": "d", "labels.rule": "4 per class, seed 2", "labels.count": "40",
    "init_from": "/runs/coke-backbones.digits.coke.1", "init_from.digest": "w",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"data": "/elsewhere/digits"}, []),
        ({"data": "/data/fashion"}, ["data /data/fashion, not digits"]),
        ({"labels.rule": "10 per class, seed 2"}, ["labels.rule 10 per class, seed 2, not 4 per class, seed 2"]),
        ({"labels.rule": "at most 4 per class, seed 2"}, ["labels.rule at most 4 per class, seed 2, not 4 per class, seed 2"]),
        ({"init_from": "None"}, ["init_from None, not coke-backbones.CELL.coke.1"]),
        ({"init_from": "/runs/coke-backbones.digits.coke.2"},
         ["init_from coke-backbones.digits.coke.2, not coke-backbones.digits.coke.1"]),
        ({"init_from": "/runs/coke-backbones.digits.other.1"},
         ["init_from coke-backbones.digits.other.1, not coke-backbones.digits.coke.1"]),
    ],
)  # fmt: skip
def test_inputs_that_the_study_does_not_ask_for_are_named(changed, said):
    assert other_inputs(FEW, RUN, PARAMS | changed) == said


def test_a_run_that_should_start_from_random_weights_or_other_ones_is_noticed():
    run = replace(RUN, arm="protocon")
    assert other_inputs(FEW, run, PARAMS | {"init_from": "None"}) == []
    assert other_inputs(FEW, run, PARAMS) == ["init_from /runs/coke-backbones.digits.coke.1, not None"]
    arms = FEW.arms | {"protocon": replace(FEW.arms["protocon"], settings={"init_from": "weights/a.safetensors"})}
    study = replace(FEW, arms=arms)
    assert other_inputs(study, run, PARAMS | {"init_from": "/there/weights/a.safetensors"}) == []
    assert other_inputs(study, run, PARAMS | {"init_from": "/there/weights/b.safetensors"}) != []


@pytest.mark.parametrize("name", ["data.fingerprint", "labels.count", "init_from.digest"])
def test_of_runs_that_should_have_the_same_content_those_unlike_most_are_named(name):
    runs = [replace(RUN, seed=seed) for seed in (1, 2, 3)]
    other = unlike_most(FEW, list(zip(runs, (PARAMS | {name: "x"}, PARAMS, PARAMS), strict=True)))
    assert other == [[f"{name} x, not {PARAMS[name]}"], [], []]
    even = unlike_most(FEW, list(zip(runs[:2], (PARAMS, PARAMS | {name: "x"}), strict=True)))
    assert even == [[f"{name} {PARAMS[name]}, not x"], []]  # of as many the latest hold


def test_the_precision_that_a_study_leaves_to_the_recipe_is_that_of_the_cell():
    runs = [(replace(RUN, arm=arm), PARAMS | {"compute.precision": "fp32"}) for arm in ("protocon", "fixmatch")]
    assert unlike_most(FEW, [*runs, (RUN, PARAMS | {"compute.precision": "bf16", "compute.threads": "4"}), (RUN, PARAMS)]) == [
        [], [], ["compute.precision bf16, not fp32"], [],
    ]  # fmt: skip
    fashion = replace(RUN, cell="fashion-4")  # which says so itself
    assert unlike_most(FEW, [(fashion, PARAMS | {"compute.precision": each}) for each in ("bf16", "fp32")]) == [[], []]


def test_cells_of_one_data_set_have_one_fingerprint_and_counts_of_their_own():
    more = replace(RUN, cell="digits-10")
    runs = [(RUN, PARAMS), (replace(RUN, seed=3), PARAMS), (more, PARAMS | {"labels.count": "100", "data.fingerprint": "x"})]
    assert unlike_most(FEW, runs) == [[], [], ["data.fingerprint x, not d"]]


def test_data_and_weights_that_are_not_as_they_were_are_noticed(store, some_digits, tmp_path):
    text = SMALL.replace("x: {}", "x: {init_from: {study: first, arm: z}}") + SMALL.split("studies:\n")[1].replace(
        "small:", "first:"
    ).replace("x: {}", "z: {}").replace("arm: x", "arm: z")
    studies, maker = studies_of(tmp_path, text), RunMaker(tmp_path, some_digits)
    small = {"backbone.name": "wrn-10-1", "method.dim": 4, "method.predictor_hidden": 4}
    places, run = Places(tmp_path / "data", tmp_path, small), studies["small"].runs()[0]
    maker.pretrained("first.a.z.1", [[0] * 300], [2])
    finish(tmp_path / "first.a.z.1")
    weights = initial_weights(configuration(studies["small"], studies, run, places))
    assert isinstance(weights, InitialWeights)
    params = {"data.fingerprint": some_digits.fingerprint, "init_from.digest": weights.digest}
    assert changed_inputs(studies["small"], studies, run, places, params) == []  # the data are not here
    now = write_digits(tmp_path / "data" / "digits", 200, 200).fingerprint
    assert changed_inputs(studies["small"], studies, run, places, params | {"init_from.digest": "w"}) == [
        f"data.fingerprint {some_digits.fingerprint}, not {now}", f"init_from.digest w, not {weights.digest}",
    ]  # fmt: skip


def finish(folder):
    journal = Journal(folder)
    journal.append({"kind": "status", "status": "FINISHED", "time": 0})
    journal.close()


def test_what_a_run_was_trained_on_is_what_its_store_says(store, some_digits, tmp_path):
    RunMaker(store.folder, some_digits).pretrained("run", [[0] * 300], [2])
    assert recorded(store.folder / "run")["data.fingerprint"] == some_digits.fingerprint
