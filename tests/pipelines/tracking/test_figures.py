"""Names of figures: each has its section, and this module knows them all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from algos.methods.protocon.method import FIGURES
from pipelines.tracking.figures import (
    SCORES,
    TEST,
    data_name,
    head_figure,
    is_known,
    known_names,
    of_heads,
    of_method,
    of_split,
    usual_mode,
)


def test_a_methods_figures_get_their_sections():
    assert of_method({"label_change": 0.1, "loss_labelled": 2.0, "reliable_rate": 0.5}) == {
        "clusters/label_change": 0.1, "train/loss_labelled": 2.0, "pseudo_labels/reliable_rate": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_say_of_which_split_they_are(split):
    assert of_split({"knn_top1": 0.9, "accuracy_ema": 0.8}, split) == {f"{split}/knn_top1": 0.9, f"{split}/accuracy_ema": 0.8}
    assert all(is_known(name) for name in of_split(dict.fromkeys(SCORES, 0.0), split))


def test_a_figure_that_only_its_method_knows_stands_beside_the_losses():
    assert of_method({"loss_of_something_new": 1.0}) == {"train/loss_of_something_new": 1.0}


def test_names_of_data_hold_no_sign_that_parts_sections_or_that_mlflow_refuses():
    assert data_name('Ähren/rot "2"|x', "0f") == "_hren_rot__2__x-0f"


def test_every_figure_of_protocon_has_a_section():
    assert all(is_known(name) for name in of_method(dict.fromkeys(FIGURES, 0.0)))


def test_heads_are_numbered():
    heads = [{"cluster_size_min": 3.0}, {"cluster_size_min": 4.0, "nmi": 0.5}]
    assert of_heads(heads) == {"clusters/head0/smallest": 3.0, "clusters/head1/smallest": 4.0, "clusters/head1/nmi": 0.5}
    assert of_heads(heads[:1], TEST) == {"test/head0/smallest": 3.0}


@pytest.mark.parametrize(
    "name",
    [
        "test/knn_top1",
        "val/knn_top1",
        "evaluate/val/rows",
        "evaluate/test/knn_top1",
        "evaluate/test/knn200_top1",
        "evaluate/test/linear_ece",
        "untrained/val/accuracy_ema_macro",
        "test/finetune_top5",
        "untrained/test/head3/ari",
        "labels/head12/moved",
        "features/train/rankme",
        "features/photos/alignment",
        "evaluate/features/test/uniformity",
        "evaluate/photos-0123456789abcdef/test/knn_top1",
        "untrained/photos-0123456789abcdef/features/test/uniformity",
    ],
)
def test_names_that_are_known(name):
    assert is_known(name)


@pytest.mark.parametrize(
    "name",
    [
        "knn_top1",
        "test/knn",
        "features/rankme",
        "features/test/rank",
        "evaluate/knn_top1",
        "evaluate/stream/wait_share",
        "clusters/head0/min",
        "test/knn_ece",
        "test/knn20_macro",
    ],
)
def test_names_that_are_not(name):
    assert not is_known(name)


def test_the_names_that_are_offered_are_known():
    assert all(is_known(name) for name in known_names())
    assert head_figure("smallest_to_minimum") in known_names()


def test_tasks_and_the_command_line_load_the_names_alone():
    code = (
        "import sys, pipelines.tracking.old_figures; print([m for m in ('torch', 'ray', 'mlflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("train/epoch_loss", "min"), ("features/val/uniformity", "min"), ("clusters/head0/empty", "min"),
        ("evaluate/test/linear_ece", "min"), ("val/knn_top1", "max"), ("features/val/rankme", "max"),
        ("clusters/head0/smallest", "max"),
    ],
)  # fmt: skip
def test_losses_and_their_like_are_better_when_smaller(name, mode):
    assert usual_mode(name) == mode
