"""What commands show in the terminal of what they made."""

from __future__ import annotations

import pytest

from pipelines.datasets.image_shards import Dataset, Split
from pipelines.datasets.shard_files import Shard
from pipelines.files.location import Location
from quorum.cli.show import show_ingest, show_recipes
from quorum.data import DataSet
from quorum.settings import recipes


@pytest.mark.parametrize(
    ("counts", "said"),
    [([2, 1, 3], "3 classes"), ([2, 0, 3], "2 of 3 classes"), ([], "none")],
    ids=["all", "one is missing", "no labels"],
)
def test_a_split_is_shown_with_the_classes_that_it_has(capsys, tmp_path, counts, said):
    shards = [Shard("val/part.parquet", 1, sum(counts) or 5, 64, "digest")]
    show_ingest(DataSet(Dataset(Location.of(str(tmp_path)), "photos", ["a", "b", "c"], {"val": Split(6, shards, counts)}, 0)))
    assert said in capsys.readouterr().out


def test_a_split_of_which_some_images_have_no_label_is_shown_with_both(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "120")
    some = Split(7, [Shard("train/part.parquet", 1, 7, 64, "digest")], [2, 2])
    made = DataSet(Dataset(Location.of(str(tmp_path)), "photos", ["a", "b"], {"train": some}, 0))
    show_ingest(made)
    assert "2 classes, 3 unlabelled" in capsys.readouterr().out
    assert made.counts["train"].to_dict() == {"a": 2, "b": 2}


def test_a_narrow_terminal_cuts_no_word_of_a_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "40")
    shards = [Shard("val/part.parquet", 1, 3, 64, "digest")]
    show_ingest(DataSet(Dataset(Location.of(str(tmp_path)), "photos", ["a"], {"val": Split(3, shards, [3])}, 0)))
    show_recipes(recipes())
    said = capsys.readouterr().out
    assert "\u2026" not in said
