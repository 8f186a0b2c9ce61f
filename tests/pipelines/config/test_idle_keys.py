"""A value that does nothing beside the others is told to whoever gave it, and a stage that a run does not come to."""

from __future__ import annotations

import pytest

from pipelines.clustering.config import ClusterConfig
from pipelines.config.idle_keys import idle_keys, late_stages, remarks
from pipelines.config.recipe import list_recipes, read_recipe
from pipelines.config.training_config import CONFIG_OF_COMMAND, PretrainConfig, SemisupConfig

COKE, PROTOCON = ("coke_digits", PretrainConfig), ("protocon_digits", SemisupConfig)
RESNET = ("coke_imagenet_2view", PretrainConfig)


@pytest.mark.parametrize(
    ("recipe", "settings", "idle"),
    [
        (COKE, {}, {"method.slots", "method.slot_temperature", "method.large_weight"}),
        (COKE, {"method.predictor_weight": 0.0}, {"method.predictor_hidden"}),
        (COKE, {"method.predictor_hidden": 0}, {"method.predictor_weight"}),
        (COKE, {"method.min_size_ratio": 0.0}, {"method.dual_lr"}),
        (COKE, {"monitor.knn_epochs": 0}, {"monitor.knn_bank", "monitor.knn_temperature", "monitor.feature_images"}),
        (COKE, {"monitor.feature_epochs": 0}, {"monitor.feature_images"}),
        (COKE, {}, {"monitor.accuracy_epochs", "compute.gpus_per_worker", "optimizer.betas", "views.large[0].magnitude"}),
        (COKE, {"compute.gpu": True}, {"compute.threads"}),
        (COKE, {"backbone.stem": "imagenet"}, {"backbone.stem_stride"}),
        (RESNET, {"backbone.stem": "auto", "views.large": [{"size": 65, "repeat": 2}]}, {"backbone.stem_stride"}),
        (COKE, {"backbone.name": "wrn-10-1", "backbone.stem": "auto"}, {"backbone.stem_stride"}),
        (PROTOCON, {}, {"method.debias_weight", "method.debias_momentum", "method.mean_momentum", "method.share_power"}),
        (PROTOCON, {"method.confidence": "freematch"}, {"method.confidence_threshold"}),
        (PROTOCON, {"method.refine_weight": 1.0}, {"method.refine_from", "method.vote", "method.priced_scores"}),
        (PROTOCON, {"method.consistency_weight": 0.0}, {"method.consistency_rows"}),
        (PROTOCON, {"method.consistency_weight": 0.0, "method.prototype_weight": 0.0}, {"method.temperature"}),
        (PROTOCON, {"method.alignment": "none"}, {"method.aligned_targets"}),
        (PROTOCON, {"method.num_clusters": [30]}, {"method.instances_per_cluster"}),
        (PROTOCON, {}, {"views.large[0].scale", "views.large[0].jitter_p"}),
    ],
)
def test_what_does_nothing_is_found(recipe, settings, idle):
    assert idle <= idle_keys(read_recipe(*recipe, settings)).keys()


@pytest.mark.parametrize(
    ("recipe", "settings", "acts"),
    [
        (COKE, {"views.large": [{"size": 8}], "method.label_weight": 1.0, "method.average_from": 5}, "method.slots"),
        (COKE, {"views.small": [{"size": 6}]}, "method.large_weight"),
        (COKE, {"method.min_size_ratio": 0.0, "method.max_size_ratio": 2.0}, "method.dual_lr"),
        (COKE, {}, "method.dual_lr"),
        (RESNET, {"backbone.stem": "auto", "views.large": [{"size": 64, "repeat": 2}]}, "backbone.stem_stride"),
        (RESNET, {"backbone.stem": "small", "views.large": [{"size": 65, "repeat": 2}]}, "backbone.stem_stride"),
        (COKE, {"monitor.knn_epochs": 0, "monitor.feature_epochs": 1}, "monitor.feature_images"),
        (PROTOCON, {"method.alignment": "ema"}, "method.mean_momentum"),
        (PROTOCON, {"method.fairness_weight": 0.1}, "method.mean_momentum"),
        (PROTOCON, {"method.alignment": "label_shift"}, "method.share_power"),
        (PROTOCON, {"method.confidence": "adamatch"}, "method.confidence_threshold"),
        (PROTOCON, {}, "monitor.accuracy_epochs"),
    ],
)
def test_what_one_value_gives_something_to_do_is_not(recipe, settings, acts):
    assert acts not in idle_keys(read_recipe(*recipe, settings))


def test_the_sentence_names_the_key_why_it_does_nothing_and_what_to_change():
    config = read_recipe(*COKE, {"method.slots": 9})
    why = "method.slots does nothing while method.average_from is null"
    assert remarks(config, {"method.slots"}) == [f"{why}; set average_from to where the second stage begins, or leave slots out"]


def test_why_is_said_in_words_where_values_would_not_say_it():
    config = read_recipe(
        *RESNET, {"backbone.stem": "auto", "backbone.stem_stride": 2, "views.large": [{"size": 224, "repeat": 2}]}
    )
    why = "backbone.stem_stride does nothing while backbone.stem is auto, which is small up to 64 px only"
    assert remarks(config, {"backbone.stem_stride"}) == [f"{why}; set stem to small, or leave stem_stride out"]


def test_only_what_a_user_gave_is_told():
    config = read_recipe(*COKE, {"method.slots": 9})
    assert remarks(config, given=set()) == []
    assert remarks(config, given={"method.slot_temperature"})  # named by the user, if at its default
    assert remarks(config, given=set(), listed={"method.slot_temperature"}) == []  # a file may name every key
    assert remarks(config, given=set(), listed={"method.slots"})
    rules = [{"size": 8, "repeat": 2, "magnitude": 3}]
    assert "views.large[0].magnitude does nothing while views.large[0].randaugment is 0" in remarks(
        read_recipe(*COKE, {"views.large": rules}), {"views.large"}
    )[0]  # fmt: skip


def test_a_clustering_without_bounds_learns_no_prices():
    config = ClusterConfig(data="x", to="y", num_clusters=3, min_size_ratio=0.0, dual_lr=1.0, copy="never")
    assert idle_keys(config).keys() == {"dual_lr", "copy_dtype"}


@pytest.mark.parametrize("recipe", [one for one in list_recipes() if one.command in CONFIG_OF_COMMAND], ids=lambda one: one.name)
def test_no_shipped_recipe_gives_what_does_nothing_or_ends_before_its_stages(recipe):
    config = read_recipe(recipe.name, CONFIG_OF_COMMAND[recipe.command])
    assert [one.sentence for one in idle_keys(config).values() if not one.is_default] == []
    assert late_stages(config) == {}


@pytest.mark.parametrize(("epochs", "told"), [(1, True), (2, True), (3, False)])
def test_a_warmup_as_long_as_the_run_is_told(epochs, told):
    config = read_recipe(*COKE, {"epochs": epochs, "optimizer.warmup_epochs": 2})
    counted = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    line = f"optimizer.warmup_epochs is 2, and the run has {counted}: it ends before the learning rate comes to optimizer.lr"
    assert late_stages(config) == ({"optimizer.warmup_epochs": line} if told else {})


@pytest.mark.parametrize(("first", "told"), [(3, False), (4, True), (5, True)])
def test_a_second_stage_of_which_nothing_is_learned_is_told(first, told):
    one_view = {"views.large": [{"size": 8}], "method.label_weight": 1.0, "optimizer.warmup_epochs": 0}
    config = read_recipe(*COKE, {"epochs": 5, "method.average_from": first, **one_view})
    assert ("method.average_from" in late_stages(config)) is told  # epoch 4 is the last


@pytest.mark.parametrize(("first", "told"), [(4, False), (5, True)])
def test_a_run_that_is_all_warmup_of_pseudo_labels_is_told(first, told):
    config = read_recipe(*PROTOCON, {"epochs": 5, "method.refine_from": first})
    assert ("method.refine_from" in late_stages(config)) is told
