"""A data set that grows: what is there stays, what is new follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import quorum
from pipelines.datasets.image_shards import Dataset, read_images
from pipelines.datasets.label_selection import choose_per_class
from pipelines.errors import UserError
from pipelines.ingest.ingest import ingest
from pipelines.ingest.left_out import QUARANTINE
from pipelines.ingest.recognise import open_source
from pipelines.ingest.stored_form import StoredForm
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import Trained
from pipelines.views.shown_picture import Showing
from tests.helpers.inputs import layouts, packed
from tests.helpers.inputs.layouts import jpeg, write_files

COUNTS = {"train": [4, 6], "val": [1, 1]}
GROWN_COUNTS = {"train": [4, 6, 3], "val": [1, 1, 0]}
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def images(folder: Path, names: dict[str, int], first: int = 0) -> None:
    """So many images of each class."""
    keys = [f"{name}/{index:02d}.jpg" for name, count in names.items() for index in range(count)]
    write_files(folder, {key: jpeg(first + place) for place, key in enumerate(keys)})


def add(source: Path, data: Path, **options) -> Dataset:
    return ingest(open_source(str(source), "folder"), str(data), name="x", append=True, **options)


def rows(dataset: Dataset, split: str = "train") -> pa.Table:
    return pa.concat_tables([pq.read_table(f"{dataset.location}/{shard.path}") for shard in dataset.split(split).shards])


@pytest.fixture
def first(tmp_path) -> Dataset:
    images(tmp_path / "one", {"cat": 5, "dog": 7})
    return ingest(open_source(str(tmp_path / "one")), str(tmp_path / "data"), name="x", rows_per_shard=4, val=0.2)


def test_old_rows_stay_and_new_ones_follow_with_their_classes_after_the_old_ones(first, tmp_path):
    images(tmp_path / "two", {"ant": 3, "dog": 2}, first=50)
    for name in ("ant/00.jpg", "dog/00.jpg", "dog/01.jpg"):  # other names than the first folder's
        (tmp_path / "two" / name).rename(tmp_path / "two" / name.replace("/0", "/new-0"))
    grown = add(tmp_path / "two", tmp_path / "data")
    assert grown == Dataset.open(str(tmp_path / "data"))
    assert grown.classes == ["cat", "dog", "ant"]
    before, after = rows(first), rows(grown)
    assert after.slice(0, len(before)).equals(before)
    assert after["id"].to_pylist() == list(range(len(before) + 5))
    new = after.slice(len(before))
    named = {
        source: grown.classes[label] for source, label in zip(new["source"].to_pylist(), new["label"].to_pylist(), strict=True)
    }
    assert {source.split("/")[0] for source in named} == {"ant", "dog"}
    assert all(source.startswith(name) for source, name in named.items())
    assert grown.split("train").class_counts == [
        first.split("train").class_counts[0],
        first.split("train").class_counts[1] + 2,
        3,
    ]
    assert grown.split("val") == replace(first.split("val"), class_counts=[1, 1, 0])
    assert quorum.open_data(tmp_path / "data").counts.loc["ant"].to_dict() == {"train": 3, "val": 0}
    assert len(read_images(grown, "train", [0, len(before), len(before) + 4])) == 3


def test_the_history_says_what_it_grew_from(first, tmp_path):
    images(tmp_path / "two", {"ant": 3}, first=50)
    grown = add(tmp_path / "two", tmp_path / "data")
    assert grown.fingerprint != first.fingerprint
    assert list(grown.history) == [
        (str(tmp_path / "one"), first.fingerprint, {"train": 10, "val": 2}, {"train": 10, "val": 2}, 2, COUNTS),
        (
            str(tmp_path / "two"),
            grown.fingerprint,
            {"train": 3},
            {"train": 13, "val": 2},
            3,
            {"train": [4, 6, 3], "val": [1, 1, 0]},
        ),
    ]
    assert grown.as_of(first.fingerprint) == first
    assert grown.as_of(grown.fingerprint) == grown.as_of("another") == grown
    assert grown.as_of(first.fingerprint).fingerprint == first.fingerprint


def test_a_folder_that_grew_gives_only_what_is_new(first, tmp_path, capsys):
    images(tmp_path / "one", {"cat": 6, "dog": 9})
    grown = add(tmp_path / "one", tmp_path / "data")
    new = rows(grown)["source"].to_pylist()[first.split("train").rows :]
    assert sorted(new) == ["cat/05.jpg", "dog/07.jpg", "dog/08.jpg"]
    assert "12 in the data set already, by their paths\n" in capsys.readouterr().err  # and are on no list
    assert add(tmp_path / "one", tmp_path / "data") == grown  # as a nightly job does
    assert "are in" in (said := capsys.readouterr().err)
    assert "already: nothing is added" in said
    (tmp_path / "one" / "cat" / "broken.jpg").write_bytes(b"none")
    for _ in range(2):
        assert add(tmp_path / "one", tmp_path / "data") == grown
        assert "none of the 1 new images can be read: nothing is added" in capsys.readouterr().err
    assert len(pq.read_table(tmp_path / "data" / QUARANTINE)) == 1


def test_a_class_whose_accents_a_mac_wrote_is_no_new_one(tmp_path):
    images(tmp_path / "one", {"cafe\u0301": 2, "dog": 2})
    first = ingest(open_source(str(tmp_path / "one")), str(tmp_path / "data"), name="x")
    replace(first, classes=["cafe\u0301", "dog"]).save()  # as before names were composed
    images(tmp_path / "two", {"caf\u00e9": 1, "dog": 3}, first=50)
    (tmp_path / "two" / "caf\u00e9" / "00.jpg").rename(tmp_path / "two" / "caf\u00e9" / "new.jpg")
    for name in ("00", "01"):
        (tmp_path / "two" / "dog" / f"{name}.jpg").unlink()
    grown = add(tmp_path / "two", tmp_path / "data")
    assert (grown.classes, grown.split("train").class_counts) == (["cafe\u0301", "dog"], [3, 3])


def test_an_ingest_that_added_nothing_counts_for_nothing(first, tmp_path):
    images(tmp_path / "two", {"ant": 3}, first=50)
    write_files(tmp_path / "two", {f"ant/bad-{row}.png": b"none" for row in range(11)} | {"notes.txt": b""})
    with pytest.raises(UserError, match="11 of 14 images are unreadable"):
        add(tmp_path / "two", tmp_path / "data")
    listed = pq.read_table(tmp_path / "data" / QUARANTINE)["kind"].to_pylist()
    assert listed == ["not added"] * 12
    images(tmp_path / "three", {"bee": 2}, first=70)
    write_files(tmp_path / "three", {"bee/bad.png": b"none"})
    assert add(tmp_path / "three", tmp_path / "data").quarantined == 1
    assert pq.read_table(tmp_path / "data" / QUARANTINE)["path"].to_pylist() == ["bee/bad.png"]


def test_an_image_that_was_mended_is_unreadable_no_more(first, tmp_path):
    write_files(tmp_path / "one", {"cat/bad.jpg": b"none", "cat/worse.jpg": b"none", "cat/new.jpg": jpeg(80)})
    assert add(tmp_path / "one", tmp_path / "data").quarantined == 2
    write_files(tmp_path / "one", {"cat/bad.jpg": jpeg(81)})
    assert add(tmp_path / "one", tmp_path / "data").quarantined == 1
    assert pq.read_table(tmp_path / "data" / QUARANTINE)["path"].to_pylist() == ["cat/worse.jpg"]


def test_paths_of_another_folder_that_are_there_already_are_refused(first, tmp_path):
    images(tmp_path / "two", {"cat": 2}, first=50)
    with pytest.raises(UserError, match=r"2 paths of the source are those of images in .* from .*one, the first is cat/00.jpg"):
        add(tmp_path / "two", tmp_path / "data")
    assert Dataset.open(str(tmp_path / "data")) == first


def test_labels_on_one_side_only_are_refused(first, tmp_path):
    write_files(tmp_path / "flat", {"a.jpg": jpeg(99)})
    with pytest.raises(UserError, match="images of the data set have labels, and new ones have none"):
        ingest(open_source(str(tmp_path / "flat")), str(tmp_path / "data"), name="x", append=True)


def test_what_was_left_out_is_kept_from_both(first, tmp_path):
    images(tmp_path / "two", {"ant": 2}, first=50)
    write_files(tmp_path / "two", {"ant/bad.png": b"none", "notes.txt": b""})
    add(tmp_path / "two", tmp_path / "data")
    images(tmp_path / "three", {"bee": 2}, first=70)
    write_files(tmp_path / "three", {"bee/worse.png": b""})
    assert add(tmp_path / "three", tmp_path / "data").quarantined == 2
    listed = pq.read_table(tmp_path / "data" / QUARANTINE)["path"].to_pylist()
    assert listed == ["ant/bad.png", "notes.txt", "bee/worse.png"]


def test_packed_sources_are_added_too(first, tmp_path):
    packed.as_tars(tmp_path / "tars", packed=True)
    grown = ingest(open_source(str(tmp_path / "tars")), str(tmp_path / "data"), name="x", append=True, rows_per_shard=9)
    assert grown.split("train").rows == first.split("train").rows + 44
    assert grown.split("val").rows == 2 + 7  # the data set has a val split already
    assert rows(grown)["id"].to_pylist() == list(range(54))


def test_nothing_to_grow_is_refused(tmp_path):
    images(tmp_path / "one", {"cat": 2, "dog": 2})
    with pytest.raises(UserError, match="no data set"):
        add(tmp_path / "one", tmp_path / "data")


def test_labels_that_were_chosen_before_hold_unless_there_is_a_new_class(first, tmp_path):
    chosen = choose_per_class(first, "train", 2, seed=0)
    images(tmp_path / "two", {"dog": 2}, first=50)
    for index in range(2):
        (tmp_path / "two" / f"dog/0{index}.jpg").rename(tmp_path / "two" / f"dog/new-{index}.jpg")
    grown = add(tmp_path / "two", tmp_path / "data")
    chosen.check(grown, "train", "labels.json")
    assert read_images(grown, "train", chosen.ids) == read_images(first, "train", chosen.ids)
    images(tmp_path / "three", {"ant": 2}, first=70)
    with pytest.raises(UserError, match=r"has class 'ant', which labels labels.json do not know"):
        chosen.check(add(tmp_path / "three", tmp_path / "data"), "train", "labels.json")
    with pytest.raises(UserError, match=r"run quorum labels on these shards"):
        choose_per_class(grown, "train", 2, seed=0).check(first, "train", "labels.json")


def test_a_path_that_came_from_another_folder_is_refused_when_a_folder_grows(first, tmp_path):
    images(tmp_path / "two", {"ant": 2}, first=50)
    add(tmp_path / "two", tmp_path / "data")
    write_files(tmp_path / "two", {"cat/00.jpg": jpeg(99)})  # which the first folder has too
    with pytest.raises(UserError, match=r"1 paths of the source are those of images in .* from .*one"):
        add(tmp_path / "two", tmp_path / "data")


def test_classes_of_one_name_keep_their_numbers(tmp_path):
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "classnames.txt").write_text("crane\ndog\ncrane\n")
    for part in range(2):
        files = {f"{part}{i}.jpg": jpeg(10 * part + i) for i in range(3)} | {f"{part}{i}.cls": str(i).encode() for i in range(3)}
        write_files(tmp_path / "tars", {f"{part}.tar": layouts.tar_bytes(files)})
        source = open_source(str(tmp_path / "tars"))
        dataset = ingest(source, str(tmp_path / "data"), name="x", append=part == 1)
    assert dataset.classes == ["crane", "dog", "crane"]
    table = rows(dataset)
    keys = zip(table["source"].to_pylist(), table["label"].to_pylist(), strict=True)
    assert all(int(key.split(".jpg")[0][-1]) == label for key, label in keys)


def test_val_stays_val_where_the_data_set_has_one(first, tmp_path):
    names = {f"{split}/ant/{split}.jpg": jpeg(place) for place, split in enumerate(("train", "val"), 60)}
    write_files(tmp_path / "two", names)
    grown = add(tmp_path / "two", tmp_path / "data")
    assert {name: split.rows for name, split in grown.splits.items()} == {"train": 11, "val": 3}


@pytest.mark.slow
def test_a_run_of_before_is_scored_on_what_it_was_trained_on_and_goes_on_with_it(first, tmp_path):
    options = {
        "views": {"large": [{"size": 16}]}, "backbone": {"name": "wrn-10-1"}, "epochs": 2, "batch_size": 4,
        "method": {"num_clusters": [2], "dim": 16, "predictor_hidden": 16}, "stream": {"lanes": 2}, "compute": {"threads": 1},
        "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db"},
    }  # fmt: skip
    run = quorum.pretrain(None, data=tmp_path / "data", to=tmp_path / "runs" / "one", **options)
    images(tmp_path / "two", {"ant": 3}, first=50)
    add(tmp_path / "two", tmp_path / "data")
    assert Trained.open(run.path).dataset == first
    assert run.backbone() is not None
    assert quorum.pretrain(resume=run.path).path == run.path
    with pytest.raises(UserError, match="instance ids would not match"):
        Run.open(run.path).go_on("another", "data", None)


def test_shares_are_of_all_images_and_may_come_to_none_of_a_few_new_ones(first, tmp_path, capsys):
    assert (first.split("train").rows, first.split("val").rows) == (10, 2)  # a fifth of 12
    images(tmp_path / "one", {"cat": 6, "dog": 7})
    grown = add(tmp_path / "one", tmp_path / "data", val=0.2)
    assert (grown.split("train").rows, grown.split("val").rows) == (10, 3)  # of 13
    images(tmp_path / "one", {"cat": 7, "dog": 7})
    grown = add(tmp_path / "one", tmp_path / "data", val=0.2)
    assert (grown.split("train").rows, grown.split("val").rows) == (11, 3)  # of 14
    assert "--val 0.2 of 1 training image is none: what is new is for training" in capsys.readouterr().err


SMALL = {"short_side": 20}


@pytest.mark.parametrize(
    ("stored", "other", "said"),
    [
        (SMALL, {}, r"stored with --short-side 20 --quality 90; give the same"),
        ({"pixels": True}, {}, "stored with --pixels; give the same"),
        ({}, SMALL, "stored with neither --short-side nor --pixels; give the same"),
        (SMALL | {"showing": Showing([0, 0, 9])}, SMALL, r'stored with --short-side 20 .* --background "\[0, 0, 9\]"; give the'),
    ],
)
def test_new_images_are_stored_as_the_old_ones(tmp_path, stored, other, said):
    images(tmp_path / "one", {"cat": 2, "dog": 2})
    ingest(open_source(str(tmp_path / "one")), str(tmp_path / "data"), name="x", form=StoredForm(**stored))
    images(tmp_path / "one", {"cat": 3, "dog": 3})
    with pytest.raises(UserError, match=said):
        add(tmp_path / "one", tmp_path / "data", form=StoredForm(**other))
    assert add(tmp_path / "one", tmp_path / "data", form=StoredForm(**stored)).split("train").rows == 6
