"""Folders of images: classes by folder, splits, and images without labels."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.recognise import open_source
from pipelines.ingest.sources.image_folders import FolderSource, ImagesSource
from pipelines.ingest.sources.source import counted
from tests.helpers.layouts import save


def test_class_folders_give_sorted_classes_and_relative_paths(tmp_path):
    for name in ("dog/b.png", "dog/a.JPG", "cat/deep/x.png", "ant/1.webp"):
        save(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["ant", "cat", "dog"]
    found = {sample.key: sample.label for sample in listing.samples}
    assert found == {"ant/1.webp": 0, "cat/deep/x.png": 1, "dog/a.JPG": 2, "dog/b.png": 2}
    assert {sample.split for sample in listing.samples} == {"train"}


@pytest.mark.parametrize("test_name", ["val", "test", "valid", "validation"])
def test_folders_train_and_val_are_splits_with_common_classes(tmp_path, test_name):
    save(tmp_path / "train" / "cat" / "a.png")
    save(tmp_path / "train" / "dog" / "b.png")
    save(tmp_path / test_name / "dog" / "c.png")
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["cat", "dog"]
    assert {(sample.split, sample.label) for sample in listing.samples} == {("train", 0), ("train", 1), ("test", 1)}


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_val_beside_a_test_is_val(tmp_path, name):
    for split in ("train", name, "test"):
        save(tmp_path / split / "cat" / f"{split}.png")
    found = {sample.key: sample.split for sample in FolderSource(Location.of(tmp_path)).listing().samples}
    assert found == {"train/cat/train.png": "train", f"{name}/cat/{name}.png": "val", "test/cat/test.png": "test"}


@pytest.mark.parametrize("kind", [FolderSource, ImagesSource])
def test_a_listing_is_sorted_whatever_the_order_of_the_directory(tmp_path, kind):
    names = [f"c{i % 3}/{i:02d}.png" for i in range(30)]
    for name in names[::-1]:
        save(tmp_path / name)
    assert [sample.key for sample in kind(Location.of(tmp_path)).listing().samples] == sorted(names)


def test_a_flat_folder_is_unlabelled(tmp_path):
    for name in ("b.png", "a.png"):
        save(tmp_path / name)
    source = open_source(str(tmp_path))
    assert source == ImagesSource(Location.of(tmp_path))
    assert [(sample.key, sample.label) for sample in source.listing().samples] == [("a.png", None), ("b.png", None)]
    assert source.listing().classes == []


def test_kind_images_ignores_the_folders_names(tmp_path):
    save(tmp_path / "cat" / "a.png", shade=9)
    source = open_source(str(tmp_path), "images")
    (sample,) = source.listing().samples
    assert sample.label is None
    assert source.read(sample.key) == (tmp_path / "cat" / "a.png").read_bytes()


def test_class_folders_without_images_are_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "readme.txt").write_text("none")
    with pytest.raises(UserError, match="no image files"):
        open_source(str(tmp_path)).listing()


def test_what_systems_put_beside_images_is_no_class_and_no_image_and_is_counted(tmp_path):
    for name in ("cat/a.png", "dog/b.png", ".ipynb_checkpoints/a.png", "__MACOSX/cat/a.png", "cat/._a.png", "dog/@eaDir/t.png"):
        save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    listing = FolderSource(Location.of(tmp_path)).listing()
    assert listing.classes == ["cat", "dog"]
    assert [sample.key for sample in listing.samples] == ["cat/a.png", "dog/b.png"]
    assert counted(listing.left_out) == "left out: 4 hidden or of a system, 1 empty folders"
    assert listing.notes == ["1 class folders without images are left out: empty"]
    assert len(ImagesSource(Location.of(tmp_path)).listing().samples) == 2
