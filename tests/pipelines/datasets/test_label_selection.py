"""Selections: reproducible, balanced, nested, tied to their shards; and every mistake in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import ray

from pipelines.datasets.image_shards import Dataset, read_column, read_images
from pipelines.datasets.label_selection import (
    Selection,
    choose_fraction,
    choose_from,
    choose_listed,
    choose_per_class,
    numbers_of_classes,
    put_images,
    say_absent,
)
from pipelines.errors import UserError
from quorum.cli import main
from tests.helpers.inputs.digit_shards import write_digits, write_named


def test_a_choice_is_balanced_reproducible_and_holds_the_true_labels(some_digits):
    selection = choose_per_class(some_digits, "train", 4, seed=1)
    assert np.bincount(selection.labels).tolist() == [4] * 10
    assert selection.labels == read_column(some_digits, "train", "label")[selection.ids].tolist()
    assert selection == choose_per_class(some_digits, "train", 4, seed=1)
    assert selection.ids != choose_per_class(some_digits, "train", 4, seed=2).ids
    assert selection.ids == sorted(selection.ids)


def test_a_share_that_comes_to_no_image_of_a_class_takes_one_and_says_so(some_digits, capsys):
    rows = some_digits.split("train").rows
    choose_fraction(some_digits, "train", 0.1, seed=1)
    assert not capsys.readouterr().err
    choose_fraction(some_digits, "train", 0.001, seed=1)
    said = f"--fraction 0.001 of 10 of 10 classes is none: one image of each is taken, so that {10 / rows:.2g} of the images have"
    assert said in capsys.readouterr().err


def test_a_larger_choice_of_one_seed_contains_the_smaller(some_digits):
    four, ten = (set(choose_per_class(some_digits, "train", count, seed=3).ids) for count in (4, 10))
    assert four < ten


def test_a_share_of_each_class_is_at_least_one(some_digits):
    counts = np.bincount(read_column(some_digits, "train", "label"))
    tenth = np.bincount(choose_fraction(some_digits, "train", 0.1, seed=1).labels)
    assert tenth.tolist() == [max(1, round(0.1 * count)) for count in counts.tolist()]
    assert np.bincount(choose_fraction(some_digits, "train", 0.001, seed=1).labels).tolist() == [1] * 10


def test_a_list_names_ids_or_sources(some_digits, tmp_path):
    sources = [str(row) for row in range(300)]  # the digits' sources are their numbers
    (tmp_path / "few.txt").write_text("\n".join(sources[5:25]))
    selection = choose_listed(some_digits, "train", str(tmp_path / "few.txt"))
    assert selection.ids == list(range(5, 25))
    assert selection.labels == read_column(some_digits, "train", "label")[5:25].tolist()


def test_a_list_brings_labels_that_the_shards_do_not_have(tmp_path):
    dataset = write_digits(tmp_path / "digits", 20, 20, labelled=False)
    without_classes = Dataset(dataset.location, dataset.name, [], dataset.splits, 0)
    (tmp_path / "few.csv").write_text("3,cat\n\n5, dog\n4 , cat\n")
    selection = choose_listed(without_classes, "train", str(tmp_path / "few.csv"))
    assert (selection.classes, selection.ids, selection.labels) == (["cat", "dog"], [3, 4, 5], [0, 0, 1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("1\n\n9999", "line 3: '9999' is neither an instance id nor a source path"),
        ("1,seven", "line 1: the shards have no class 'seven'"),
        ("1,2\n1,3", "line 2: '1' is listed twice"),
        ("\u00b2", "line 1: '\u00b2' is neither"),
    ],
)
def test_a_bad_list_is_named_with_its_line(some_digits, tmp_path, content, said):
    (tmp_path / "few.txt").write_text(content)
    with pytest.raises(UserError, match=said):
        choose_listed(some_digits, "train", str(tmp_path / "few.txt"))


def test_a_list_without_a_label_is_refused(tmp_path):
    dataset = write_digits(tmp_path / "digits", 20, 20, labelled=False)
    (tmp_path / "few.txt").write_text("3")
    with pytest.raises(UserError, match="'3' has no label in the shards; add a comma and its class"):
        choose_listed(dataset, "train", str(tmp_path / "few.txt"))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({}, "exactly one of"),
        ({"per_class": 4, "fraction": 0.1}, "exactly one of"),
        ({"per_class": 0}, "0 labels of class '0' are asked for"),
        ({"per_class": 100}, r"100 labels of class '0' are asked for, split 'train' has \d+; ask for 1 to"),
        ({"per_class": 100}, r"1 to \d+, or take all of a class that has fewer: quorum labels --per-class 100 --at-most$"),
        ({"per_class": -1, "at_most": True}, r"-1 labels of class '0' are asked for, split 'train' has \d+; ask for 1 to \d+$"),
        ({"fraction": 0.1, "at_most": True}, "--at-most goes with --per-class only"),
        ({"per_class": 1, "list_ids": True}, "--list-ids goes with --list only"),
        ({"fraction": 1.5}, r"--fraction is 1.5; it must lie in \(0, 1\]"),
        ({"listed": "absent.txt"}, "list absent.txt cannot be read"),
        ({"per_class": 4, "seed": -1}, "--seed is -1"),
    ],
)
def test_what_cannot_be_chosen_is_said(some_digits, rules, said):
    with pytest.raises(UserError, match=said):
        choose_from(some_digits, "train", **({"per_class": None, "fraction": None, "listed": None, "seed": 1} | rules))


def test_shards_without_labels_need_a_list(tmp_path):
    with pytest.raises(UserError, match="has no labels to choose from; give a list file"):
        choose_per_class(write_digits(tmp_path / "digits", 20, 20, labelled=False), "train", 1, 1)


def test_a_selection_comes_back_from_its_file_and_fits_its_shards_only(some_digits, tmp_path):
    selection, place = choose_per_class(some_digits, "train", 2, seed=1), str(tmp_path / "deep" / "few.json")
    selection.save(place)
    assert Selection.open(place) == selection
    selection.check(some_digits, "train", place)
    with pytest.raises(UserError, match="fingerprint"):
        selection.check(write_digits(tmp_path / "others", 100, 100), "train", place)
    with pytest.raises(UserError, match=r"split 'train'.*trains on 'test'"):
        selection.check(some_digits, "test", place)


@pytest.mark.parametrize(
    ("ids", "labels", "said"),
    [
        ([1, 2], [0], "2 instances and 1 labels"),
        ([1, 1], [0, 0], "1 instances and 2 labels"),
        ([1], [10], "outside its 10 classes"),
    ],
)
def test_a_selection_that_was_edited_badly_is_refused(some_digits, ids, labels, said):
    selection = Selection(some_digits.fingerprint, "train", some_digits.classes, ids, labels, "by hand")
    with pytest.raises(UserError, match=said):
        selection.check(some_digits, "train", "few.json")


def test_places_that_cannot_be_read_or_written_are_named(some_digits, tmp_path):
    with pytest.raises(UserError, match="is a folder, where a file is to be"):
        Selection.open(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        choose_per_class(some_digits, "train", 1, seed=1).save(str(tmp_path / "file" / "few.json"))


def test_a_class_without_a_label_is_named(some_digits):
    full = choose_per_class(some_digits, "train", 1, seed=1)
    without = [(row, label) for row, label in zip(full.ids, full.labels, strict=True) if label != 7]
    ids, labels = (list(column) for column in zip(*without, strict=True))
    selection = Selection(full.fingerprint, "train", full.classes, ids, labels, "by hand")
    with pytest.raises(UserError, match="hold none of class '7'"):
        selection.check(some_digits, "train", "few.json")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 1, "ids": [], "unknown": 1}'])
def test_a_damaged_selection_is_refused(tmp_path, content):
    (tmp_path / "few.json").write_text(content)
    with pytest.raises(UserError, match=r"few\.json (is .*no such file of ours|is cut short|has format None)"):
        Selection.open(str(tmp_path / "few.json"))


def test_another_format_and_a_missing_file_are_refused(some_digits, tmp_path):
    place = tmp_path / "few.json"
    choose_per_class(some_digits, "train", 1, seed=1).save(str(place))
    place.write_text(json.dumps(json.loads(place.read_text()) | {"format": 9}))
    with pytest.raises(UserError, match="has format 9, this version reads 1"):
        Selection.open(str(place))
    with pytest.raises(UserError, match=r"absent\.json is not there; make it: quorum labels"):
        Selection.open(str(tmp_path / "absent.json"))
    with pytest.raises(UserError, match=r"quorum labels --data data/wds --per-class 4, and give the file that this writes"):
        Selection.open(str(tmp_path / "absent.json"), "data/wds")


def test_the_command_writes_beside_the_shards(some_digits, capsys):
    main(["labels", str(some_digits.location), "--per-class", "3", "--seed", "5"])
    said = capsys.readouterr().out
    place = f"{some_digits.location}-labels/per-class-3-seed-5.json"
    assert said == f"{place}: 30 labels of 10 classes, 3 a class (3 per class, seed 5)\n"
    assert Selection.open(place) == choose_per_class(some_digits, "train", 3, seed=5)


@pytest.mark.ray
def test_the_images_of_a_selection_are_those_of_the_shards(local_ray, some_digits):
    selection = choose_per_class(some_digits, "train", 3, seed=1)
    table = ray.get(put_images(some_digits, selection))
    images = read_images(some_digits, "train", selection.ids)
    assert table["id"].to_pylist() == selection.ids
    assert table["label"].to_pylist() == selection.labels
    assert table["image"].to_pylist() == [images[row] for row in selection.ids]


@pytest.mark.ray
def test_a_selected_instance_without_a_row_is_named(local_ray, tmp_path):
    holed = write_digits(tmp_path / "digits", 40, 20, holes={7})
    selection = Selection(holed.fingerprint, "train", holed.classes, [6, 7], [0, 1], "by hand")
    with pytest.raises(UserError, match="instance 7 of the labels has no image"):
        put_images(holed, selection)


def test_a_selection_overwrites_no_other_file(tmp_path):
    dataset = write_digits(tmp_path / "digits", 60, 20)
    selection = choose_per_class(dataset, "train", 1, seed=0)
    for place in (tmp_path / "digits" / "quorum.json", tmp_path / "notes.txt"):
        if place.name == "notes.txt":
            place.write_text("mine")
        before = place.read_bytes()
        with pytest.raises(UserError, match="is there, and is no selection; choose another place"):
            selection.save(str(place))
        assert place.read_bytes() == before
    selection.save(str(tmp_path / "few.json"))
    selection.save(str(tmp_path / "few.json"))


def test_a_list_of_excel_is_read(tmp_path):
    dataset = write_digits(tmp_path / "digits", 60, 20)
    (tmp_path / "list.csv").write_text("\ufeff3\n5\n", encoding="utf-8")
    assert choose_listed(dataset, "train", str(tmp_path / "list.csv")).ids == [3, 5]
    (tmp_path / "list.csv").write_text(f"{'9' * 5000}\n")
    with pytest.raises(UserError, match="is neither an instance id"):
        choose_listed(dataset, "train", str(tmp_path / "list.csv"))


FEW = ["cat", "dog", "owl", "yak"]  # of the four, the split below has 5, 2, 0 and 1 images


@pytest.fixture
def few(tmp_path) -> Dataset:
    return write_named(tmp_path / "few", [f"{row}.png" for row in range(8)], [0, 1, 0, 3, 0, 1, 0, 0], FEW)


def test_a_class_without_an_image_is_left_out_and_named(few, tmp_path, capsys):
    selection = choose_per_class(few, "train", 1, seed=1)
    assert np.bincount(selection.labels, minlength=4).tolist() == [1, 1, 0, 1]
    assert selection.unlabelled_classes == [2]
    assert np.bincount(choose_fraction(few, "train", 0.5, seed=1).labels, minlength=4).tolist() == [2, 1, 0, 1]
    assert "--fraction 0.5 of 1 of 3 classes is none" in capsys.readouterr().err  # half of one image is
    selection.check(few, "train", "few.json")
    say_absent(few, "train")
    assert capsys.readouterr().err == "1 of 4 classes have no image in split 'train': owl: no label of them\n"
    main(["labels", str(few.location), "--per-class", "1"])
    said = capsys.readouterr()
    assert said.err == "1 of 4 classes have no image in split 'train': owl: no label of them\n"
    assert "3 labels of 3 classes, 1 a class (1 per class, seed 1)" in said.out


def test_a_class_with_images_and_no_label_is_refused_beside_one_that_has_none(few):
    selection = Selection(few.fingerprint, "train", FEW, [0, 1], [0, 1], "by hand")
    with pytest.raises(UserError, match="hold none of class 'yak'"):
        selection.check(few, "train", "few.json")


def test_every_class_of_unlabelled_shards_needs_a_label(tmp_path):
    blind = write_named(tmp_path / "blind", ["a.png", "b.png"], [], ["cat", "dog"])
    with pytest.raises(UserError, match="hold none of class 'dog'"):
        Selection(blind.fingerprint, "train", ["cat", "dog"], [0], [0], "by hand").check(blind, "train", "few.json")


def test_at_most_takes_what_a_rare_class_has_and_says_so(few, capsys):
    name, selection = choose_from(few, "train", per_class=3, fraction=None, listed=None, seed=1, at_most=True)
    assert np.bincount(selection.labels, minlength=4).tolist() == [3, 2, 0, 1]
    said = "split 'train': class 'dog' has only 2 of 3, class 'yak' has only 1 of 3; taken as they are\n"
    assert capsys.readouterr().err == said
    assert (name, selection.rule) == ("per-class-at-most-3-seed-1", "at most 3 per class, seed 1")
    exact, same = (choose_per_class(few, "train", 1, seed=1, at_most=most) for most in (False, True))
    assert (exact.ids, exact.rule) == (same.ids, "1 per class, seed 1")
    main(["labels", str(few.location), "--per-class", "3", "--at-most"])
    assert "per-class-at-most-3-seed-1.json: 6 labels of 3 classes, 1 to 3 a class (at most 3" in capsys.readouterr().out


def test_a_choice_from_another_split_takes_no_other_ones_place(some_digits, tmp_path):
    (tmp_path / "mine.csv").write_text("0\n")
    both = replace(some_digits, splits={split: some_digits.split("train") for split in ("train", "test")})
    rules = [(1, None, None), (None, 0.5, None), (None, None, tmp_path / "mine.csv")]
    found = [
        [choose_from(both, split, per_class=some, fraction=share, listed=file, seed=1)[0] for some, share, file in rules]
        for split in ("train", "test")
    ]
    assert found[0] == ["per-class-1-seed-1", "fraction-0.5-seed-1", "mine"]
    assert found[1] == [f"test-{name}" for name in found[0]]


def test_labels_are_chosen_from_those_that_a_split_has(tmp_path):
    made = write_named(tmp_path / "some", [f"{row}.png" for row in range(5)], [0, 1, -1, 0, 1], ["cat", "dog"])
    chosen = choose_per_class(made, "train", 2, seed=1)
    assert dict(zip(chosen.ids, chosen.labels, strict=True)) == {0: 0, 1: 1, 3: 0, 4: 1}


def test_a_split_without_any_image_has_no_labels_to_give(tmp_path):
    none = write_named(tmp_path / "none", ["a.png"], [0], ["cat"])
    empty = Dataset(none.location, "none", ["cat"], {"train": replace(none.split("train"), shards=[], class_counts=[0])}, 0)
    with pytest.raises(UserError, match="has no image of any class; choose another split"):
        choose_per_class(empty, "train", 1, seed=1)


def test_two_selections_become_one_whose_classes_go_by_name():
    first = Selection("f", "train", ["cat", "dog"], [1, 5], [0, 1], "four a class")
    second = Selection("f", "train", ["dog", "eel"], [3, 5], [1, 0], "list next.csv")
    both = first.with_more(second)
    assert (both.classes, both.ids, both.labels) == (["cat", "dog", "eel"], [1, 3, 5], [0, 2, 1])
    assert both.rule == "four a class, and list next.csv"
    with pytest.raises(UserError, match=r"instance 5 is of class 'dog' \(four a class\) and of 'eel' \(list next.csv\)"):
        first.with_more(Selection("f", "train", ["eel"], [5], [0], "list next.csv"))


def test_two_classes_of_one_name_are_told_apart_by_their_order():
    assert numbers_of_classes(["crane", "dog", "crane"], ["crane", "dog", "crane"]) == [0, 1, 2]
    assert numbers_of_classes(["dog", "crane", "crane"], ["crane", "ant", "crane", "dog"]) == [3, 0, 2]


def test_a_list_may_name_no_class_whose_name_another_has_too(tmp_path):
    cranes = write_named(tmp_path / "cranes", ["a.png", "b.png", "c.png"], [0, 1, 2], ["crane", "dog", "crane"])
    (tmp_path / "list.csv").write_text("b.png,dog\nc.png\n")
    chosen = choose_listed(cranes, "train", str(tmp_path / "list.csv"))
    assert (chosen.ids, chosen.labels) == ([1, 2], [1, 2])
    assert chosen.with_more(chosen).labels == [1, 2]
    (tmp_path / "list.csv").write_text("b.png,dog\nc.png,crane\n")
    with pytest.raises(UserError, match="line 2: several classes of the shards are called 'crane'; write the line without"):
        choose_listed(cranes, "train", str(tmp_path / "list.csv"))
