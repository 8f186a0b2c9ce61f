"""A long-tailed selection: sizes that fall geometrically, and of each class its first rows."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.science.long_tail import first_of_each, main, tail_sizes


def test_sizes_fall_geometrically_from_the_most_to_a_ratio_of_it():
    assert tail_sizes(3, 100, 100) == [100, 10, 1]
    assert tail_sizes(10, 900, 10)[:2] == [900, 697]
    assert tail_sizes(1, 5, 10) == [5]


def test_the_first_rows_of_each_class_are_taken_and_too_few_are_refused():
    labels = np.array([0, 1, 0, 1, 0, 1])
    assert first_of_each(labels, [2, 1]).tolist() == [True, True, True, False, False, False]
    with pytest.raises(SystemExit, match="class 1 has 3 images, 4 are wanted; lower --most"):
        first_of_each(labels, [2, 4])
    with pytest.raises(SystemExit, match="class 0 has 3 images, 0 are wanted; lower --ratio"):
        first_of_each(labels, [0, 1])


def test_other_splits_stay_whole_and_labels_are_names(some_digits, tmp_path, monkeypatch, capsys):
    to = tmp_path / "tail"
    monkeypatch.setattr(sys, "argv", ["long_tail", str(some_digits.location), "--to", str(to), "--most", "10", "--ratio", "5"])
    main()
    found = {file.name: pq.read_table(file) for file in to.glob("*.parquet")}
    train = found["train-00000.parquet"]["label"].to_pylist()
    assert [train.count(name) for name in some_digits.classes] == tail_sizes(10, 10, 5)
    assert "train: 10, 8, 7" in capsys.readouterr().out
    for name, split in some_digits.splits.items():
        if name != "train":
            assert len(found[f"{name}-00000.parquet"]) == split.ids
