"""Ingest on a real local Ray: what is written, what is set aside, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.datasets.image_shards import SHARDS_MANIFEST, Dataset, read_column
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, one_writer
from pipelines.files.this_process import this_process
from pipelines.ingest import ingest as ingest_module
from pipelines.ingest import shard_writer as ingest_part
from pipelines.ingest.ingest import ingest
from pipelines.ingest.left_out import QUARANTINE
from pipelines.ingest.recognise import open_source
from pipelines.ingest.sources.digits import DigitsSource
from pipelines.ingest.stored_form import StoredForm
from tests.helpers.inputs.layouts import pixels

pytestmark = pytest.mark.ray


def write_images(folder: Path, names: dict[str, int], first: int = 0) -> None:
    """Digits as class folders: so many images per name."""
    source, key = DigitsSource(), first
    for name, count in names.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            (folder / name / f"{index:02d}.png").write_bytes(source.read(str(key)))
            key += 1


def rows(dataset: Dataset, split: str = "train") -> pa.Table:
    return pa.concat_tables([pq.read_table(f"{dataset.location}/{shard.path}") for shard in dataset.split(split).shards])


def run(source: object, destination: Path, **options: object) -> Dataset:
    return ingest(source, str(destination), name="test", **options)


@pytest.fixture
def images(tmp_path, local_ray):
    """40 images in two class folders."""
    write_images(tmp_path / "images", {"cat": 25, "dog": 15})
    return tmp_path / "images"


def test_digits_keep_their_counts_labels_and_pixels(digits):
    dataset, truth = Dataset.open(digits), load_digits()
    assert {name: split.rows for name, split in dataset.splits.items()} == {"train": 1438, "test": 359}
    assert [len(split.shards) for split in dataset.splits.values()] == [1, 3]
    for name in ("train", "test"):
        table = rows(dataset, name)
        originals = [int(key) for key in table["source"].to_pylist()]
        assert table["label"].to_pylist() == truth.target[originals].tolist()
        assert table["split"].unique().to_pylist() == [name]
        assert np.bincount(truth.target[originals]).tolist() == dataset.split(name).class_counts
        assert sorted(table["id"].to_pylist()) == list(range(dataset.split(name).rows))
    image = np.asarray(Image.open(io.BytesIO(table["image"][0].as_py())))
    np.testing.assert_array_equal(image, (truth.images[originals[0]] * 255 / 16).round())


def test_the_first_rows_are_a_random_sample_of_the_source(digits):
    table = rows(Dataset.open(digits))
    originals = np.array([int(key) for key in table["source"].to_pylist()])
    assert len(set(table["label"].to_pylist()[:60])) == 10
    assert abs(originals[:300].mean() - originals.mean()) < 100


def test_the_same_source_and_seed_give_the_same_data(images, tmp_path):
    one, two, other = (
        run(open_source(str(images)), tmp_path / str(i), seed=seed, rows_per_shard=9) for i, seed in enumerate((1, 1, 2))
    )
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert rows(one).equals(rows(two))
    assert [shard.rows for shard in one.split("train").shards] == [9, 9, 9, 9, 4]


def test_decoded_shards_hold_the_same_rows_in_as_many_files_as_their_size_needs(images, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_part, "SHARD_BYTES", 3 * 8 * 8 * 15)
    encoded = run(open_source(str(images)), tmp_path / "encoded")
    decoded = run(open_source(str(images)), tmp_path / "decoded", form=StoredForm(pixels=True))
    assert [shard.rows for shard in decoded.split("train").shards] == [15, 15, 10]
    for column in ("id", "label", "split", "source"):
        assert rows(decoded)[column].to_pylist() == rows(encoded)[column].to_pylist()
    for one, other in zip(rows(decoded)["image"].to_pylist(), rows(encoded)["image"].to_pylist(), strict=True):
        np.testing.assert_array_equal(pixels(one), pixels(other))


def damage(images: Path) -> dict[str, bytes]:
    """Replace images of `dog` by files that are none; returns them by relative path."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    saved = {}
    for form in ("PNG", "JPEG"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, form)
        saved[form] = buffer.getvalue()
    corrupt = bytearray(saved["PNG"])
    corrupt[60:200] = bytes(140)
    bad = {
        "dog/00.png": b"",
        "dog/01.png": b"no image at all",
        "dog/02.png": saved["PNG"][: len(saved["PNG"]) // 2],
        "dog/03.png": bytes(corrupt),
        "dog/04.png": saved["JPEG"][: len(saved["JPEG"]) // 3],
    }
    for name, content in bad.items():
        (images / name).write_bytes(content)
    return bad


def test_unreadable_images_are_set_aside_with_path_and_reason_and_leave_holes(images, tmp_path):
    clean = run(open_source(str(images)), tmp_path / "clean")
    bad = damage(images)
    dataset = run(open_source(str(images)), tmp_path / "data", max_bad=0.2)
    assert dataset.quarantined == 5
    assert (dataset.split("train").rows, dataset.split("train").ids) == (35, 40)
    assert dataset.split("train").class_counts == [25, 10]
    table = pq.read_table(tmp_path / "data" / QUARANTINE)
    assert sorted(table["path"].to_pylist()) == sorted(bad)
    reasons = dict(zip(table["path"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert reasons["dog/00.png"] == "empty file"
    assert reasons["dog/01.png"] == "no image: starts with no image at all"
    assert all(": " in reasons[f"dog/0{index}.png"] and "0x" not in reasons[f"dog/0{index}.png"] for index in (2, 3, 4))
    ids = {key: row for row, key in zip(rows(clean)["id"].to_pylist(), rows(clean)["source"].to_pylist(), strict=True)}
    assert np.flatnonzero(read_column(dataset, "train", "id") == -1).tolist() == sorted(ids[name] for name in bad)
    for row, key in zip(rows(dataset)["id"].to_pylist(), rows(dataset)["source"].to_pylist(), strict=True):
        assert ids[key] == row


@pytest.mark.parametrize("form", ["AVIF", "DDS", "GIF", "TIFF", "WEBP", "JPEG2000"])
def test_damage_of_any_format_is_set_aside(images, tmp_path, form):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, form)
    content, generator = buffer.getvalue(), np.random.default_rng(1)
    for index in range(60):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[generator.integers(0, min(len(damaged), 400), 8)] = generator.integers(0, 256, 8)
        (images / "dog" / f"{index:02d}.png").write_bytes(damaged.tobytes())
    dataset = run(open_source(str(images)), tmp_path / "data", max_bad=1.0)
    assert dataset.split("train").rows + dataset.quarantined == 85
    assert dataset.split("train").class_counts[0] == 25


def test_too_many_unreadable_images_stop_the_job_with_a_list_and_leave_no_data_set(images, tmp_path):
    bad = list(damage(images))
    for index in range(5, 15):
        bad.append(f"dog/{index:02d}.png")
        (images / bad[-1]).write_bytes(b"<html>not found</html>")
    said = r"11 of 40 images are unreadable \(27.5% so far\), more than --max-bad allows \(1.0%\)"
    with pytest.raises(UserError, match=said) as stop:
        run(open_source(str(images)), tmp_path / "data", rows_per_shard=1)
    assert any(name in str(stop.value) for name in bad)
    listed = pq.read_table(tmp_path / "data" / QUARANTINE)
    assert set(listed["path"].to_pylist()) < set(bad)
    assert "a web page: fetch the image again" in listed["reason"].to_pylist()
    with pytest.raises(UserError, match=f"holds no {SHARDS_MANIFEST}"):
        Dataset.open(str(tmp_path / "data"))
    assert run(open_source(str(images)), tmp_path / "data", max_bad=0.5).quarantined == 15


def test_ten_unreadable_images_do_not_stop_a_first_try(images, tmp_path):
    for index in range(10):
        (images / "dog" / f"{index:02d}.png").write_bytes(b"none")
    assert run(open_source(str(images)), tmp_path / "data").quarantined == 10


def test_a_split_without_a_readable_image_is_refused(tmp_path, local_ray):
    write_images(tmp_path / "images" / "train", {"cat": 3})
    (tmp_path / "images" / "val" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "val" / "cat" / "a.png").write_bytes(b"none")
    with pytest.raises(UserError, match="no readable image in split 'test'"):
        run(open_source(str(tmp_path / "images")), tmp_path / "data", max_bad=1.0)


def test_a_holdout_is_a_random_share_that_keeps_every_image_once(images, tmp_path):
    dataset = run(open_source(str(images)), tmp_path / "data", holdout=0.25)
    train, test = (set(rows(dataset, split)["source"].to_pylist()) for split in ("train", "test"))
    assert 3 <= len(test) <= 18
    assert len(train) + len(test) == 40
    assert not train & test
    assert len(set(rows(dataset, "test")["label"].to_pylist())) == 2


def test_a_holdout_that_cannot_be_is_refused(images, tmp_path):
    for share in (-0.1, 1.0, 2.0):
        with pytest.raises(UserError, match=rf"--holdout is {share}"):
            run(open_source(str(images)), tmp_path / "data", holdout=share)
    with pytest.raises(UserError, match="test split of its own"):
        run(DigitsSource(), tmp_path / "data", holdout=0.2)


def test_an_unlabelled_folder_has_null_labels_and_no_classes(images, tmp_path):
    dataset = run(open_source(str(images), "images"), tmp_path / "data")
    assert dataset.classes == []
    assert not dataset.split("train").labelled
    assert rows(dataset)["label"].null_count == dataset.split("train").rows == 40
    assert Dataset.open(str(tmp_path / "data")) == dataset


def test_train_and_val_folders_become_splits_labelled_by_folder(tmp_path, local_ray):
    write_images(tmp_path / "images" / "train", {"ant": 4, "bee": 6})
    write_images(tmp_path / "images" / "val", {"bee": 3}, first=20)
    dataset = run(open_source(str(tmp_path / "images")), tmp_path / "data")
    assert dataset.classes == ["ant", "bee"]
    assert {name: split.class_counts for name, split in dataset.splits.items()} == {"train": [4, 6], "test": [0, 3]}
    for split in ("train", "test"):
        table = rows(dataset, split)
        for key, label, image in zip(*(table[name].to_pylist() for name in ("source", "label", "image")), strict=True):
            assert key.split("/")[1] == dataset.classes[label]
            assert image == (tmp_path / "images" / key).read_bytes()


def test_a_destination_in_use_is_left_alone(images, tmp_path):
    dataset = run(open_source(str(images)), tmp_path / "data")
    with pytest.raises(UserError, match=r"already holds a data set; choose another --to or give --overwrite"):
        run(open_source(str(images), "images"), tmp_path / "data")
    assert Dataset.open(str(tmp_path / "data")) == dataset
    with pytest.raises(UserError, match="which would be replaced"):
        run(open_source(str(images)), images)
    for inside in (images / "out", images / "cat" / "out"):
        with pytest.raises(UserError, match=r"lies in the source .*, which is read whole; choose a folder beside it"):
            run(open_source(str(images)), inside)
    assert sorted(path.name for path in images.iterdir()) == ["cat", "dog"]


@pytest.mark.parametrize("option", [{}, {"overwrite": True}, {"append": True}])
def test_a_folder_that_another_ingest_writes_is_refused_as_it_is(images, tmp_path, option):
    run(open_source(str(images)), tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*.*")}
    write_images(tmp_path / "more", {"ant": 3})
    with one_writer(Location.of(tmp_path / "data")), pytest.raises(UserError, match=r"data is being written by process \d+"):
        run(open_source(str(tmp_path / "more")), tmp_path / "data", **option)
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*.*")} == before


def test_an_ingest_has_the_turn_while_it_writes_and_leaves_no_note(images, tmp_path, monkeypatch):
    inside, write = list[bool](), ingest_module.write_parts

    def watched(*arguments: object) -> object:
        inside.append((tmp_path / "data" / NOTE).exists())
        return write(*arguments)

    monkeypatch.setattr(ingest_module, "write_parts", watched)
    run(open_source(str(images)), tmp_path / "data")
    assert inside == [True]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [SHARDS_MANIFEST, "train"]


def test_what_an_ingest_that_was_killed_has_noted_and_left_keeps_nobody_out(images, tmp_path):
    gone = {**this_process(), "pid": 2**22 - 1, "turn": "gone", "renewed": 1.0, "since": "before", "folder": "there"}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / NOTE).write_text(json.dumps(gone))
    left = [f"{name}.{'0a' * 16}.partial" for name in (SHARDS_MANIFEST, QUARANTINE)]
    for name in left:
        (tmp_path / "data" / name).write_bytes(b"half")
    assert run(open_source(str(images)), tmp_path / "data").split("train").rows == 40
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [SHARDS_MANIFEST, "train"]


def test_overwrite_replaces_the_old_data_set(images, tmp_path):
    run(open_source(str(images)), tmp_path / "data", rows_per_shard=5)
    dataset = run(open_source(str(images), "images"), tmp_path / "data", overwrite=True)
    assert Dataset.open(str(tmp_path / "data")) == dataset
    assert [path.name for path in (tmp_path / "data" / "train").iterdir()] == ["part-00000.parquet"]


def test_what_a_stopped_ingest_left_is_replaced(images, tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "part-00007.parquet").write_bytes(b"half")
    dataset = run(open_source(str(images)), tmp_path / "data")
    assert [path.name for path in (tmp_path / "data" / "train").iterdir()] == ["part-00000.parquet"]
    assert json.loads((tmp_path / "data" / SHARDS_MANIFEST).read_text())["fingerprint"] == dataset.fingerprint


@pytest.mark.parametrize(("option", "value"), [("rows_per_shard", 0), ("seed", -1), ("max_bad", -0.5)])
def test_a_number_out_of_range_is_named(images, tmp_path, option, value):
    with pytest.raises(UserError, match=option.replace("_", ".")):
        run(open_source(str(images)), tmp_path / "data", **{option: value})


@pytest.mark.parametrize("overwrite", [False, True])
def test_images_that_lie_where_the_shards_should_go_are_never_deleted(images, tmp_path, overwrite):
    target = tmp_path / "raw"
    write_images(target / "train", {"cat": 2})
    write_images(target / "test", {"cat": 1})
    before = sorted(path for path in target.rglob("*.png"))
    with pytest.raises(UserError, match="holds other files"):
        run(open_source(str(images)), target, overwrite=overwrite)
    assert sorted(target.rglob("*.png")) == before


def test_a_source_that_fails_leaves_the_old_data_set(images, tmp_path):
    run(open_source(str(images)), tmp_path / "shards")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(UserError, match="no image files"):
        run(open_source(str(tmp_path / "empty")), tmp_path / "shards", overwrite=True)
    assert Dataset.open(str(tmp_path / "shards")).split("train").rows == 40


def test_a_data_set_is_replaced_only_when_all_that_may_be_refused_has_been(images, tmp_path, monkeypatch):
    made = run(open_source(str(images)), tmp_path / "data")

    def refuse(address):
        raise UserError(f"no Ray cluster answers at {address}")

    monkeypatch.setattr("pipelines.ingest.ingest.connect", refuse)
    with pytest.raises(UserError, match="no Ray cluster"):
        run(open_source(str(images)), tmp_path / "data", overwrite=True, address="nowhere:1")
    assert Dataset.open(str(tmp_path / "data")) == made


def test_a_val_split_is_written_and_replaced_like_the_others(images, tmp_path, capsys):
    made = run(open_source(str(images)), tmp_path / "data", val=0.2, holdout=0.2)
    assert {name: split.class_counts for name, split in made.splits.items()} == {
        "test": [5, 3], "train": [16, 10], "val": [4, 2],
    }  # fmt: skip
    again = run(open_source(str(images)), tmp_path / "data", val=0.04, overwrite=True)
    assert again.split("val").rows == 2
    one = run(open_source(str(images)), tmp_path / "one", val=0.03)
    assert one.split("val").rows == 1
    assert "val has no image of 1 of 2 classes" in capsys.readouterr().err
