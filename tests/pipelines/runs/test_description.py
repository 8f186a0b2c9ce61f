"""What a run's page in MLflow says of it in words."""

from __future__ import annotations

from pipelines.files.location import Location
from pipelines.runs.description import NOTE, clustering_words, note, repeat_command, training_words
from pipelines.tracking.about.source import commanded

TRAINING = {
    "data": "/data/digits", "init_from": None, "backbone": {"name": "wrn-10-1"}, "method": {"name": "coke"},
    "stream": {"split": "train"}, "compute": {"workers": 1, "gpu": False}, "epochs": 4, "batch_size": 64, "seed": 3,
}  # fmt: skip


def test_a_training_says_what_it_trains_on_what():
    assert training_words(TRAINING, rows=1438, heads=[30, 20], labels=None, sweep=None) == (
        "Trains the backbone `wrn-10-1` from random weights by `coke` with heads of 30 and 20 clusters on 1,438 images, split "
        "`train` of `/data/digits`. 4 epochs, batches of 64, 1 worker on CPUs, seed 3."
    )
    few = TRAINING | {"init_from": "timm/resnet50.a1_in1k", "compute": {"workers": 8, "gpu": True}}
    said = training_words(few, rows=1438, heads=[30], labels="40 with labels, 4 per class, seed 1", sweep="ratio")
    assert said.startswith("A trial of the sweep `ratio`. Trains the backbone `wrn-10-1` from `timm/resnet50.a1_in1k` by ")
    assert "`/data/digits`; of them 40 with labels, 4 per class, seed 1. 4 epochs" in said
    assert "8 workers on GPUs" in said


def test_a_clustering_says_which_clusters_it_makes_of_what():
    config = {
        "data": "/data/e", "start_from": None, "max_size_ratio": 1.5, "min_size_ratio": 0.4, "metric": "cosine", "passes": 5,
        "compute": {"workers": 2, "gpu": False}, "seed": 0,
    }  # fmt: skip
    assert clustering_words(config, rows=10_000, dim=64, heads=[100]) == (
        "Makes 100 clusters of 10,000 vectors of 64 numbers, `/data/e`, by cosine similarity; every cluster has at least 0.4 and "
        "at most 1.5 times the mean size. 5 passes, 2 workers on CPUs, seed 0."
    )


def test_the_command_takes_the_configuration_that_was_kept_to_a_folder_beside_it():
    command = repeat_command("pretrain", Location.of("/runs/of mine/first"), "config.yaml")
    assert command == "quorum pretrain --config '/runs/of mine/first/config.yaml' --to '/runs/of mine/first-again'"
    with commanded(["pretrain", "--config", "coke_digits"]):
        assert note("Trains.", command)[NOTE] == (
            f"Trains.\n\nThe same once more:\n\n```\n{command}\n```\n\nIt was started by `quorum pretrain --config coke_digits`."
        )
