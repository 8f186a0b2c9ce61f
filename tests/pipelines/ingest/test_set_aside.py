"""Which training images become another split: of every class its share, and never its last one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.ingest.set_aside import of_each, set_aside, take_some
from pipelines.ingest.sources.source import Listing, Sample


def listing(*counts: int, labelled: bool = True, test: int = 0) -> Listing:
    """So many training images of each class, one class after another, and test images of class 0."""
    train = [
        Sample(f"{label}/{i}", label if labelled else None, "train") for label, many in enumerate(counts) for i in range(many)
    ]
    return Listing([*train, *(Sample(f"test/{i}", 0, "test") for i in range(test))], [str(label) for label in range(len(counts))])


def of_split(made: Listing, split: str) -> list[Sample]:
    return [sample for sample in made.samples if sample.split == split]


def test_each_class_gives_its_share():
    made = set_aside(listing(100, 50, 10), 0.1, 0, "val")
    assert Counter(sample.label for sample in of_split(made, "val")) == {0: 10, 1: 5, 2: 1}
    assert len(of_split(made, "train")) == 144


def test_what_has_no_label_is_not_set_aside_to_score_on():
    before = listing(20, 20)
    made = set_aside(replace(before, samples=[*before.samples, *listing(60, labelled=False).samples]), 0.1, 0, "val")
    assert [sample.label for sample in of_split(made, "val")] == [0, 0, 1, 1]
    assert len(of_split(made, "train")) == 96


def test_the_images_stay_in_their_order_and_only_their_split_changes():
    before = listing(20, 20, test=5)
    made = set_aside(before, 0.25, 3, "val")
    assert [(one.key, one.label) for one in made.samples] == [(one.key, one.label) for one in before.samples]
    assert of_split(made, "test") == of_split(before, "test")
    assert made.classes == before.classes


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_no_class_loses_its_last_image_and_the_whole_is_right_where_it_can_be(counts, share):
    counts = np.array(counts)
    wanted = of_each(counts, share, np.arange(len(counts)))
    assert (wanted >= np.minimum(np.floor(counts * share), counts - 1)).all()
    most = np.minimum(np.floor(counts * share) + 1, counts - 1)
    assert (wanted <= most).all()
    assert wanted.sum() == min(round(float((counts * share).sum())), most.sum())


def test_which_class_gives_one_more_is_drawn():
    before = listing(*[4] * 50)
    drawn = [{sample.label for sample in of_split(set_aside(before, 0.1, seed, "val"), "val")} for seed in range(3)]
    assert [len(labels) for labels in drawn] == [20, 20, 20]
    assert drawn[0] != drawn[1] != drawn[2]


def test_a_class_of_one_keeps_it():
    made = set_aside(listing(1, 1, 30), 0.9, 0, "test")
    assert Counter(sample.label for sample in of_split(made, "train")) == {0: 1, 1: 1, 2: 2}


def test_the_seed_draws_and_each_split_draws_by_itself():
    before = listing(40, 40)
    one, again, other = (set_aside(before, 0.25, seed, "val") for seed in (0, 0, 1))
    assert one == again != other
    held = set_aside(before, 0.25, 0, "test")
    assert {one.key for one in of_split(held, "test")} != {one.key for one in of_split(one, "val")}


def test_images_without_labels_are_one_class_and_have_no_val():
    made = set_aside(listing(30, 10, labelled=False), 0.5, 0, "test")
    assert len(of_split(made, "test")) == 20
    with pytest.raises(UserError, match="has no labels, so nothing can be chosen on a val split; leave out --val"):
        set_aside(listing(30, 10, labelled=False), 0.5, 0, "val")


def test_fewer_images_are_taken_of_training_only():
    made = take_some(set_aside(listing(40, 40), 0.25, 0, "val"), 10, 0)
    assert Counter(sample.split for sample in made.samples) == {"val": 20, "train": 10}
    assert take_some(made, None, 0) is made
    assert take_some(made, 10, 0) is made


@pytest.mark.parametrize(
    ("share", "split", "said"),
    [
        (1.5, "val", "--val is 1.5; it must lie in (0, 1)"),
        (float("nan"), "val", "--val is nan"),
        (-0.1, "test", "--holdout is -0.1"),
        (0.1, "test", "the source has a test split of its own (a val/ without a test/ is one); leave out --holdout"),
        (0.001, "val", "--val 0.001 of 20 training images is none; raise it"),
    ],
)
def test_what_cannot_be_set_aside_is_refused(share, split, said):
    with pytest.raises(UserError) as refused:
        set_aside(listing(10, 10, test=3), share, 0, split)
    assert said in str(refused.value)


def test_of_a_few_images_that_are_added_none_may_come_to_be_set_aside(capsys):
    few = listing(2, 1)
    assert set_aside(few, 0.1, 0, "val", before=[0, 0]) == few
    assert capsys.readouterr().err == "--val 0.1 of 3 training images is none: what is new is for training\n"


def test_many_small_batches_give_as_many_as_one(capsys):
    before, held = [20, 20], 0
    for number in range(50):
        mine = [number % 2, 1 - number % 2]  # one image of one class
        held += len(of_split(set_aside(listing(*mine), 0.1, 0, "val", before=before), "val"))
        before = [there + more for there, more in zip(before, mine, strict=True)]
    assert held == 5


def test_a_class_that_comes_with_a_batch_keeps_one_and_one_that_was_there_need_not():
    made = set_aside(listing(1, 1), 0.9, 0, "val", before=[4, 0])
    assert [sample.label for sample in of_split(made, "val")] == [0]
    unlabelled = set_aside(listing(1, labelled=False), 0.9, 0, "test", before=[5])
    assert len(of_split(unlabelled, "test")) == 1
