"""Runs of version 0.1 are read under the present names of their figures."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from pipelines.tracking.figures import is_known, known_names
from pipelines.tracking.journal import read_journal
from pipelines.tracking.old_figures import by_present_names, present_name, refuse_old
from tests.helpers.runs.version_0_1 import recorded_names, unpack


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("old"))


@pytest.mark.parametrize(
    ("name", "present"),
    [
        ("loss", "train/loss"), ("lr", "train/lr"), ("epoch", "progress/epoch"), ("knn_top1", "test/knn_top1"),
        ("cluster_size_min_head0", "clusters/head0/smallest"), ("nmi_head12", "clusters/head12/nmi"),
        ("smallest_to_minimum_head1", "clusters/head1/smallest_to_minimum"),
        ("data_wait_share", "stream/wait_share"), ("rows_per_second", "stream/rows_per_second"),
        ("pseudo_accuracy_refined", "pseudo_labels/accuracy_refined"), ("pseudo_coverage", "pseudo_labels/coverage"),
        ("labels_cluster_size_max_head0", "labels/head0/largest"), ("labels_moved_head0", "labels/head0/moved"),
        ("labels_rows_per_second", "labels/rows_per_second"), ("evaluate_knn_top1", "evaluate/test/knn_top1"),
        ("untrained_purity_head1", "untrained/test/head1/purity"), ("evaluate_rows_train", "evaluate/train/rows"),
        ("evaluation_seconds", "progress/evaluation_seconds"),
    ],
)  # fmt: skip
def test_an_old_name_has_a_present_one(name, present):
    assert present_name(name) == present
    assert is_known(present)
    with pytest.raises(UserError, match=f"{name} is {present} now"):
        refuse_old(name)


def test_every_name_that_version_0_1_recorded_is_known_by_now(old):
    names = recorded_names(old)
    assert len(names) > 50
    assert [name for name in names if not is_known(present_name(name))] == []


def test_present_names_and_those_of_others_stay():
    names = [*known_names(), "my_own", "loss_of_mine", "evaluate_this"]
    assert [present_name(name) for name in names] == names
    for name in names:
        refuse_old(name)


def test_of_a_figure_under_both_names_the_present_one_counts():
    assert by_present_names({"test/knn_top1": 0.9, "knn_top1": 0.5, "mine": 1.0}) == {"test/knn_top1": 0.9, "mine": 1.0}


def test_an_old_journal_is_read_under_present_names(old):
    entries = read_journal(old / "outputs" / "coke")
    names = {name for entry in entries for name in entry.get("values", {})}
    assert {"train/loss", "test/knn_top1", "clusters/head1/smallest", "progress/epoch"} <= names
    assert all(is_known(name) for name in names)
