"""What a sweep will try, and what it refuses before anything starts."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from algos.networks import build_backbone
from pipelines.config.recipe import read_recipe
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import choose_from
from pipelines.errors import UserError
from tests.helpers.places import RECIPES
from tests.helpers.runs.sweeps import config
from tune.search.plan import Plan, trial_name
from tune.search.sweep_config import BudgetConfig, SchedulerConfig, SweepConfig


@pytest.fixture
def plan(some_digits, tmp_path):
    def make(**parts) -> Plan:
        return Plan.of(config(str(some_digits.location), tmp_path, **parts))

    return make


def test_a_grid_over_seeds(plan):
    made = plan(seeds=[0, 1, 2])
    assert made.points == [{"ratio": 0.4}, {"ratio": 1.0}]
    assert made.trials == 6
    trained = made.training({"ratio": 1.0}, 2)
    assert (trained.method.min_size_ratio, trained.seed, trained.epochs) == (1.0, 2, 2)
    assert trained.storage == str(made.folder)
    assert made.run_folder({"ratio": 1.0}, 2) == made.folder / trained.name
    assert trained.tracking.uri == f"sqlite:///{made.folder.parent}/mlflow.db"  # where the sweep's own run is


def test_couplings_know_the_size_of_the_data(plan):
    made = plan(space={"n": {"grid": [50]}, "gamma": {"grid": [20, 40]}})
    trained = [made.training(point, 0) for point in made.points]
    assert [one.method.num_clusters for one in trained] == [[6], [6]]
    assert [one.method.min_size_ratio for one in trained] == pytest.approx([0.4, 0.8])


def test_impossible_points_are_all_found_before_the_start(plan):
    said = r"2 of 3 points of the space cannot work: \{\"K\": 400\}: .*400 clusters, but the shards hold 300.*\{\"K\": 500\}"
    with pytest.raises(UserError, match=said):
        plan(space={"K": {"grid": [30, 400, 500]}})
    with pytest.raises(UserError, match=r"3 of 3 points.*unknown key 'method.K'"):
        plan(space={"method.K": {"grid": [1, 2, 3]}})
    with pytest.raises(UserError, match=r"optimizer\.lr"):
        plan(space={"optimizer.lr": {"grid": [-1.0]}})


def test_the_weights_of_every_point_are_looked_at_and_found_from_any_folder(plan, some_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for depth in (10, 16):
        torch.save(build_backbone(f"wrn-{depth}-1", image_size=8).state_dict(), f"{depth}.pth")
    network = {"data": str(some_digits.location), "backbone.name": "wrn-10-1"}
    made = plan(settings=network, space={"init_from": {"grid": [None, "10.pth"]}})
    assert [made.training(point, 0).init_from for point in made.points] == [None, str(tmp_path / "10.pth")]
    with pytest.raises(UserError, match=r"2 of 3 points .*: init_from .*16.pth does not fit .*absent.pth is not there"):
        plan(settings=network, space={"init_from": {"grid": ["10.pth", "16.pth", "absent.pth"]}})


def test_a_number_of_trials_shortens_a_grid_and_bounds_a_random_search(plan):
    assert plan(budget=_budget(1)).points == [{"ratio": 0.4}]
    drawn = plan(searcher="random", space={"optimizer.lr": {"loguniform": [0.01, 0.1]}}, budget=_budget(5))
    assert len(drawn.points) == 5
    assert drawn.points == plan(searcher="random", space={"optimizer.lr": {"loguniform": [0.01, 0.1]}}, budget=_budget(5)).points


def _budget(trials):
    return BudgetConfig(trials=trials)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"kind": "pretrane"}, "kind is 'pretrane'; nearest valid name: pretrain"),
        ({"seeds": []}, "seeds is"),
        ({"seeds": [1, 1]}, "give different numbers"),
        ({"searcher": "random"}, "set budget.trials"),
        ({"concurrent": 0}, "concurrent is 0"),
        ({"space": {}}, "space is empty"),
        ({"budget": BudgetConfig(epochs=0)}, "budget.epochs is 0"),
        ({"budget": BudgetConfig(hours=float("inf"))}, "budget.hours is inf; give a positive number, or null"),
        ({"searcher": "optuna", "budget": BudgetConfig(trials=3)}, "set concurrent to 1"),
        ({"scheduler": SchedulerConfig("pbt"), "space": {"K": {"grid": [3, 4]}}}, "scheduler pbt cannot change K in mid-run"),
        ({"scheduler": SchedulerConfig("pbt"), "seeds": [0, 1]}, "set searcher to grid or random, and one seed"),
        ({"scheduler": SchedulerConfig("pbt", share=0.6)}, r"scheduler.share must lie in \(0, 0.5\]"),
    ],
)
def test_what_no_sweep_can_be(some_digits, tmp_path, parts, said):
    with pytest.raises(UserError, match=said):
        config(str(some_digits.location), tmp_path, **parts)


def test_optuna_takes_one_seed(some_digits, tmp_path):
    with pytest.raises(UserError, match="give one seed"):
        config(str(some_digits.location), tmp_path, searcher="optuna", seeds=[0, 1], budget=_budget(4))


def test_names_of_trials_are_stable_and_their_own(plan):
    names = {trial_name({"K": value, "ratio": 0.4}, seed) for value in (10, [10, 20]) for seed in (0, 1)}
    assert len(names) == 4
    assert trial_name({"K": 10, "ratio": 0.4}, 0) == trial_name({"ratio": 0.4, "K": 10}, 0)
    view, turned = {"size": 28, "repeat": 2}, {"repeat": 2, "size": 28}
    assert trial_name({"views.large": [view]}, 0) == trial_name({"views.large": [turned]}, 0)
    assert trial_name({"views.large": [view]}, 0) != trial_name({"views.large": [view, view]}, 0)
    assert trial_name({"views.large": [view], "K": [10, 20]}, 0).startswith("K=_10__20_-large-seed=0-")
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzK=.-_0123456789") for name in names)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"metric": "test/knn_top1"}, "metric is 'test/knn_top1', but the data have no test split"),
        ({"metric": "knn_top1"}, "knn_top1 is test/knn_top1 now"),
        ({"metric": "test/knn_top"}, "metric 'test/knn_top' is no figure of a run; nearest valid name: test/knn_top1"),
        ({"metric": "test/accuracy_ema"}, "metric 'test/accuracy_ema' is no score of quorum pretrain"),
        ({"scheduler": SchedulerConfig("pbt"), "concurrent": 1}, "scheduler pbt trains all 2 members at a time"),
        (
            {"scheduler": SchedulerConfig("pbt"), "space": {"ratio": {"grid": [0.4]}}},
            "scheduler pbt has one member, which no other can take over from",
        ),
        ({"metric": "clusters/head2/smallest"}, "but trials have 2 heads, from head0 on"),
        ({"scheduler": SchedulerConfig("asha", grace_epochs=3)}, "scheduler.grace_epochs is 3, but a trial has 2 epochs"),
        ({"space": {"backbone.name": {"grid": ["resnet18", "resnet19"]}}}, "1 of 2 points.*resnet19"),
    ],
)
def test_what_would_only_show_when_all_is_trained_is_said_before(plan, parts, said):
    with pytest.raises(UserError, match=said):
        plan(**parts)


@pytest.mark.parametrize("interval", [2, 3])
def test_members_that_would_be_compared_without_their_metric_are_refused(some_digits, plan, interval):
    parts = {
        "scheduler": SchedulerConfig("pbt", interval_epochs=interval), "metric": "features/train/rankme", "mode": "max",
        "space": {"optimizer.lr": {"grid": [0.1, 0.2]}},
        "settings": {"data": str(some_digits.location), "epochs": 9, "monitor.knn_epochs": 0, "monitor.feature_epochs": 3},
    }  # fmt: skip
    if interval == 3:
        assert plan(**parts).is_population
        return
    with pytest.raises(UserError, match=r"interval_epochs is 2, but features/train/rankme comes every 3 epochs.*give 3 or more"):
        plan(**parts)


def test_what_the_sweep_sets_can_be_neither_a_setting_nor_searched(some_digits, tmp_path, plan):
    for own in ({"seed": 3}, {"tracking": {"experiment": "mine"}}):
        with pytest.raises(UserError, match=r"settings\.(seed|tracking\.experiment) is the sweep's own; set seeds"):
            plan(settings={"data": str(some_digits.location), **own})
    for own in ("seed", "name", "storage", "tracking.uri"):
        with pytest.raises(UserError, match=f"space.{own} is the sweep's own"):
            plan(space={own: {"grid": [0, 1]}})


def test_a_section_among_the_settings_keeps_the_other_keys_of_the_base(some_digits, plan):
    spread = plan(settings={"data": str(some_digits.location), "optimizer.lr": 0.3}).base
    assert plan(settings={"data": str(some_digits.location), "optimizer": {"lr": 0.3}}).base == spread


def test_the_fingerprints_of_searched_data_are_known_of_those_that_are_there(some_digits, plan, tmp_path):
    place, copy = str(some_digits.location), str(shutil.copytree(some_digits.location.path, tmp_path / "copy"))
    listed = {"data": {"grid": [copy, str(tmp_path / "nowhere")]}}
    assert plan(space=listed, budget=_budget(1)).searched_data == {copy: Dataset.open(place).fingerprint}
    assert plan().searched_data == {}


def test_data_that_are_searched_are_looked_at_each(some_digits, plan, tmp_path):
    place = str(some_digits.location)
    shutil.copytree(place, tmp_path / "copy")
    made = plan(space={"data": {"grid": [place, str(tmp_path / "copy")]}, "n": {"grid": [30]}})
    assert [made.training(point, 0).data for point in made.points] == [place, str(tmp_path / "copy")]
    with pytest.raises(UserError, match=r"1 of 2 points .*nowhere holds no quorum\.json"):
        plan(space={"data": {"grid": [place, str(tmp_path / "nowhere")]}})


@pytest.mark.parametrize(("mode", "taken"), [(None, "min"), ("max", "max")])
def test_a_loss_is_better_when_it_is_smaller_unless_the_sweep_says_otherwise(plan, mode, taken):
    assert plan(metric="train/epoch_loss", mode=mode).mode == taken


def test_of_a_searchers_space_one_point_must_work(plan):
    searched = {"searcher": "optuna", "budget": BudgetConfig(trials=3), "concurrent": 1}
    with pytest.raises(UserError, match=r"none of \d+ points .* can work, as .*unknown key 'method\.dimm'"):
        plan(space={"method.dimm": {"choice": [8, 16]}}, **searched)
    assert plan(space={"K": {"integers": [2, 1000]}}, **searched).points == []  # some of which are too many for the data


def test_every_place_of_a_trial_holds_from_any_folder(some_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Plan.of(config(os.path.relpath(str(some_digits.location)), Path("runs")))
    monkeypatch.chdir("/")
    trained = made.training({"ratio": 1.0}, 0)
    assert trained.data == str(some_digits.location)
    assert trained.storage == f"{tmp_path}/runs/try"
    assert trained.tracking.uri == f"sqlite:///{tmp_path}/runs/mlflow.db"


@pytest.mark.parametrize("path", sorted((RECIPES / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_recipe_parses_and_comes_back(path, tmp_path):
    parsed = read_recipe(str(path), SweepConfig)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(parsed.to_dict()))
    assert read_recipe(str(again), SweepConfig) == parsed
    assert Path(parsed.recipe).parent == RECIPES


@pytest.mark.ray
@pytest.mark.parametrize("path", sorted((RECIPES / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_point_of_a_sweep_recipe_can_be_trained(path, digits, tmp_path):
    parsed = read_recipe(str(path), SweepConfig)
    settings = parsed.settings | {"data": str(digits)}
    if parsed.kind == "semisup":
        _, selection = choose_from(Dataset.open(str(digits)), "train", per_class=4, fraction=None, listed=None, seed=1)
        selection.save(settings.setdefault("labels", str(tmp_path / "labels.json")))
    made = Plan.of(replace(parsed, settings=settings, storage=str(tmp_path)))
    assert made.trials == len(made.checked) * len(parsed.seeds) >= len(parsed.seeds)


@pytest.mark.parametrize("name", ["..", "a/b", "try "])
def test_a_sweeps_name_is_that_of_a_folder_in_its_storage(plan, name):
    with pytest.raises(UserError, match=r"name is .*, and a run's folder has its name"):
        plan(name=name)
