"""Studies are data: a mistake in them is one sentence with the nearest valid name, and what ships can be trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.science.configurations import Places, configuration
from benchmarks.science.read_studies import find_study, read_studies
from benchmarks.science.study import Planned
from pipelines.errors import UserError
from tests.benchmarks.science.small_study import SMALL, studies_of

STUDIES = read_studies()
PLACES = Places(Path("/data"), Path("/runs"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_a_shipped_study_has_a_valid_configuration(name):
    study = STUDIES[name]
    configs = {run: configuration(study, STUDIES, run, PLACES) for run in study.runs() if run.seed == study.seeds[0]}
    assert len(configs) == len(study.cells) * len(study.arms)
    alike = {repr({**config.to_dict(), "name": ""}) for config in configs.values()}
    assert len(alike) == len(configs)  # no arm is another one by mistake
    if study.score.figure.endswith("/knn_top1"):
        assert all(config.monitor.knn_epochs for config in configs.values()), "a run without the score that its study is about"


def test_a_run_has_the_settings_of_study_cell_arm_and_place():
    study = STUDIES["few-labels"]
    config = configuration(study, STUDIES, Planned("few-labels", "fashion-4", "protocon-rule-coke", 2), PLACES)
    assert (config.data, config.labels) == ("/data/fashion-mnist-10k", "/data/fashion-mnist-10k-labels/per-class-4-seed-2.json")
    assert (config.name, config.seed, config.monitor.split) == ("few-labels.fashion-4.protocon-rule-coke.2", 2, "test")
    assert config.init_from == "/runs/coke-backbones.fashion.coke.1"


def test_fixmatch_with_the_rule_differs_from_fixmatch_by_the_rule_alone():
    study, rule = STUDIES["few-labels"], STUDIES["few-labels"].arms["protocon-rule"].settings
    fixmatch, with_rule = (study.arms[name].settings for name in ("fixmatch", "fixmatch-rule"))
    clusters = {"method.refine_from", "method.prototype_weight", "method.consistency_weight"}
    assert {key for key in with_rule if with_rule[key] != fixmatch.get(key)} <= set(rule) - clusters
    assert {key: with_rule[key] for key in rule if key not in clusters} == {key: rule[key] for key in rule if key not in clusters}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: Scores", "titel: Scores", "study small: key 'titel' is unknown; nearest valid name: title"),
        ("arm: x,", "arm: z,", "study small, pair 'x against y': arm 'z' is unknown; there is x, y"),
        ("data: digits,", "dat: digits,", "study small, cell a: key 'dat' is unknown; nearest valid name: data"),
        ("{epochs: 3}}", "{epochs: 3}, of_arms: {w: {}}}", "study small, cell a: arm 'w' is unknown"),
        ("{figure: test", "{last_epochs: 1, figure: test", "study small, score: key 'last_epochs' is unknown"),
        ("    seeds: [1, 2, 3]\n", "", "study small: seeds is missing"),
        ("command: pretrain", "command: semisup", "study small, cell a: give per_class for semisup"),
        ("x: {}", "x: {init_from: {study: smal, arm: y}}", "init_from: study 'smal' is unknown; nearest valid name: small"),
        ("x: {}", "x: {init_from: {study: small, arm: yy}}", "init_from: arm 'yy' is unknown; nearest valid name: y"),
        ("studies:", "study:", "key 'study' is unknown; nearest valid name: studies"),
        ("x: {}", "x.1: {}", "arm x.1: dots part the names of runs"),
        ("x: {}", "1: {}", "arm 1: dots part the names of runs; give a name in quotes"),
        ("  small:", "  5:", "study 5: dots part the names of its runs"),
        ("[1, 2, 3]", "3", "study small: seeds is 3; give a list of whole numbers"),
        ("[1, 2, 3]", "[1, one]", "study small: seeds, 1 is 'one'; give a whole number"),
        ("[1, 2, 3]", "[1, true]", "study small: seeds, 1 is True; give a whole number"),
        ("[1, 2, 3]", "[1, 2, 1]", "study small: seeds is [1, 2, 1]; give one or more, each once"),
        ("seeds: [1, 2]}", "seeds: []}", "study small, cell b: seeds is []; give one or more, each once"),
        ("seeds: [1, 2]}", "seeds: 2}", "study small, cell b: seeds is 2; give a list of whole numbers or null"),
        (
            "    pairs:\n      - {title: x against y, arm: x, against: y}",
            "    pairs: null",
            "study small: pairs is None; give a list",
        ),
        ("{title: x against y, arm: x, against: y}", "x", "study small, pairs is 'x'; give keys and values"),
        ("title: x against y, arm: x", "title: x against y, arm: 7", "study small, pairs: arm is 7; give text"),
        ("{epochs: 3}}", "{epochs: 3}, of_arms: {x: null}}", "study small, cell a: of_arms, x is None; give a mapping"),
        ("{epochs: 3}}", "{epochs: 3}, at_most: 4}", "study small, cell a: at_most is 4; give true or false"),
        ("{epochs: 3}}", "{3: epochs}}", "study small, cell a: settings has the key 3; give names"),
        ("{monitor.split: test}", "[test]", "study small: settings is ['test']; give a mapping"),
        ("{monitor.split: test}", "null", "study small: settings is None; give a mapping"),
        ("x: {}", "x: null", "study small, arm x is None; give keys and values"),
        ("x: {}", "x: {4: 5}", "study small, arm x has the key 4; give names"),
        ("last: 2", "last: two", "study small, score: last is 'two'; give a whole number"),
        ("last: 2", "last: 0", "study small, score: last is 0; give 1 epoch or more"),
        ("data: digits,", "data: digits, 4: 5,", "study small, cell a: key 4 is unknown"),
        ("command: pretrain", "command: 5", "study small: command is 5; give text"),
    ],
)
def test_a_mistake_is_said_with_the_nearest_valid_name(tmp_path, old, new, said):
    assert old in SMALL
    with pytest.raises(UserError) as refused:
        studies_of(tmp_path, SMALL.replace(old, new, 1))
    assert said in str(refused.value)


def test_an_unknown_study_cell_arm_and_seed_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"study 'few-label' is unknown; nearest valid name: few-labels"):
        find_study("few-label")
    small = studies_of(tmp_path)["small"]
    with pytest.raises(UserError, match="study small: arm 'xx' is unknown; nearest valid name: x"):
        small.runs(arms=["xx"])
    with pytest.raises(UserError, match="study small: cell 'c' is unknown; there is a, b"):
        small.runs(cells=["c"])
    with pytest.raises(UserError, match="study small has no seed 3 there; its seeds are 1, 2"):
        small.runs(cells=["b"], seeds=[3])


def test_an_unknown_key_of_an_arm_is_refused_before_anything_starts(tmp_path):
    studies = studies_of(tmp_path, SMALL.replace("method.min_size_ratio", "method.min_size_ratios"))
    with pytest.raises(UserError, match="min_size_ratios"):
        configuration(studies["small"], studies, Planned("small", "a", "y", 1), PLACES)


def test_a_study_asks_for_each_arm_in_each_cell_with_each_of_its_seeds(tmp_path):
    names = [run.name for run in studies_of(tmp_path)["small"].runs()]
    assert names == [
        "small.a.x.1", "small.a.y.1", "small.b.x.1", "small.b.y.1", "small.a.x.2", "small.a.y.2", "small.b.x.2", "small.b.y.2",
        "small.a.x.3", "small.a.y.3",
    ]  # fmt: skip
