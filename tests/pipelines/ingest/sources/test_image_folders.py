"""Folders of images: classes by folder, splits, and images without labels."""

from __future__ import annotations

import os
import subprocess

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.recognise import open_source
from pipelines.ingest.sources.image_folders import FolderSource, ImagesSource
from pipelines.ingest.sources.source import counted
from tests.helpers.inputs.layouts import save


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


def test_a_class_is_one_whether_a_mac_wrote_its_accents_or_others(tmp_path):
    for name in ("train/caf\u00e9/1.png", "train/dog/2.png", "test/cafe\u0301/3.png"):
        save(tmp_path / name)
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["caf\u00e9", "dog"]
    assert {sample.key: sample.label for sample in listing.samples}["test/cafe\u0301/3.png"] == 0


def test_classes_that_differ_in_capitals_or_blanks_only_are_said(tmp_path):
    for name in ("train/Cat/1.png", "train/dog/2.png", "test/cat/3.png"):
        save(tmp_path / name)
    assert open_source(str(tmp_path)).listing().notes == ["'Cat' and 'cat' are 2 classes"]


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


def listed(root, **options):
    return FolderSource(Location.of(root), **options).listing()


def by_key(listing):
    return {
        sample.key: (None if sample.label is None else listing.classes[sample.label], sample.split) for sample in listing.samples
    }


def test_links_are_followed_loops_are_cut_and_broken_ones_are_counted(tmp_path):
    save(tmp_path / "elsewhere" / "a.png")
    save(tmp_path / "root" / "dog" / "b.png")
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "dog" / "c.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "root" / "dog" / "gone.png").symlink_to("../../.git/annex/objects/x")
    (tmp_path / "root" / "dog" / "round").symlink_to(tmp_path / "root")
    listing = listed(tmp_path / "root")
    assert by_key(listing) == {key: (key[:3], "train") for key in ("cat/a.png", "dog/b.png", "dog/c.png")}
    assert counted(listing.left_out) == "left out: 1 broken links, 1 links to a folder that they lie in"


def test_what_is_no_image_is_counted_by_suffix_and_bare_names_by_their_first_bytes(tmp_path):
    for name in ("cat/a.png", "cat/2024.12", "cat/bare"):
        save(tmp_path / "x.png")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / "x.png").rename(tmp_path / name)
    for name in ("cat/b.heic", "cat/c.svg", "cat/d.DNG", "cat/e.dng", "cat/README", "dog/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"Python 3")
    save(tmp_path / "loose.png")
    save(tmp_path / "dog" / "x.png")
    listing = listed(tmp_path)
    assert sorted(by_key(listing)) == ["cat/2024.12", "cat/a.png", "cat/bare", "dog/x.png"]
    reasons = dict(listing.left_out)
    assert reasons.pop("cat/b.heic") == "of suffix .heic (pip install 'quorum-kmeans[heif]' reads them)"
    assert reasons == {
        "cat/c.svg": "of suffix .svg", "cat/d.DNG": "of suffix .dng", "cat/e.dng": "of suffix .dng",
        "dog/notes.txt": "of suffix .txt", "cat/README": "without suffix that do not begin as an image",
        "loose.png": "outside class folders",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "TEST"), ("training_set", "test_set"), ("trainingData", "testing"), ("train images", "Test-Data")],
)
def test_splits_are_known_in_any_spelling(tmp_path, train, test):
    for name in (f"{train}/cat/a.png", f"{train}/dog/b.png", f"{test}/cat/c.png"):
        save(tmp_path / name)
    assert by_key(listed(tmp_path)) == {
        f"{train}/cat/a.png": ("cat", "train"), f"{train}/dog/b.png": ("dog", "train"), f"{test}/cat/c.png": ("cat", "test"),
    }  # fmt: skip


def test_splits_below_classes_are_splits(tmp_path):
    for name in ("cat/train/a.png", "cat/test/b.png", "dog/train/c.png"):
        save(tmp_path / name)
    found = {"cat/train/a.png": ("cat", "train"), "cat/test/b.png": ("cat", "test"), "dog/train/c.png": ("dog", "train")}
    assert by_key(listed(tmp_path)) == found


def test_what_lies_beside_the_splits_and_flat_in_them_is_counted(tmp_path):
    for name in ("train/cat/a.png", "train/dog/b.png", "train/loose.png", "test/1.png", "test/2.png", "extra/cat/c.png", "d.png"):
        save(tmp_path / name)
    listing = listed(tmp_path)
    assert sorted(by_key(listing)) == ["train/cat/a.png", "train/dog/b.png"]
    assert counted(listing.left_out) == "left out: 4 outside class folders, 1 beside train/, in no split"


def test_a_class_may_be_called_as_a_split_and_is_said(tmp_path):
    for name in ("train/1.png", "truck/2.png", "test tube/3.png"):
        save(tmp_path / name)
    listing = listed(tmp_path)
    assert listing.classes == ["test tube", "train", "truck"]
    assert listing.notes == ["train is a class, for beside it lies no train/ with class folders"]


def test_photos_in_one_folder_have_no_labels_unless_asked_for(tmp_path):
    for name in ("images/a.png", "images/b.png"):
        save(tmp_path / name)
    listing = open_source(str(tmp_path)).listing()
    assert by_key(listing) == {"images/a.png": (None, "train"), "images/b.png": (None, "train")}
    assert listing.notes == ["images have no labels, for all lie in one folder, images/; --kind folder takes folders as classes"]
    assert open_source(str(tmp_path), "folder").listing().classes == ["images"]


def test_a_folder_around_class_folders_or_splits_is_looked_into(tmp_path):
    for name in ("one/archive/cat/a.png", "one/archive/dog/b.png", "two/data/Train/cat/a.png", "two/data/Train/dog/b.png"):
        save(tmp_path / name)
    one, two = (open_source(str(tmp_path / name)).listing() for name in ("one", "two"))
    assert one.classes == two.classes == ["cat", "dog"]
    assert one.notes == ["class folders lie in archive/"]
    assert {sample.split for sample in two.samples} == {"train"}


def test_the_class_is_the_folder_at_the_depth_that_is_asked_for(tmp_path):
    for name in ("animals/cats/a.png", "animals/dogs/deep/b.png", "tools/saws/c.png", "toys/cats/d.png", "animals/e.png"):
        save(tmp_path / name)
    listing = open_source(str(tmp_path), depth=2).listing()
    assert listing.classes == ["cats", "dogs", "saws"]
    assert by_key(listing)["animals/dogs/deep/b.png"] == ("dogs", "train")
    assert listing.left_out == [("animals/e.png", "outside class folders")]
    assert listing.notes == ["1 classes are of several folders of one name: cats"]
    with pytest.raises(UserError, match="no image below 5 folders; lower --depth"):
        open_source(str(tmp_path), depth=5).listing()
    with pytest.raises(UserError, match="--depth is 0"):
        open_source(str(tmp_path), "folder", depth=0)


def test_flat_splits_are_splits_without_labels(tmp_path):
    for name in ("train/a.png", "test/b.png"):
        save(tmp_path / name)
    for kind in ("images", "auto"):
        assert by_key(open_source(str(tmp_path), kind).listing()) == {
            "train/a.png": (None, "train"),
            "test/b.png": (None, "test"),
        }


def test_flat_splits_in_a_folder_of_their_own_are_splits_too(tmp_path):
    for name in ("archive/train/a.png", "archive/Test/b.png"):
        save(tmp_path / name)
    assert {sample.split for sample in open_source(str(tmp_path)).listing().samples} == {"train", "test"}


def test_splits_without_one_to_train_on_are_refused_unless_they_are_asked_for_as_classes(tmp_path):
    for name in ("val/a.png", "test/b.png"):
        save(tmp_path / name)
    with pytest.raises(UserError, match="holds test, val, and no train"):
        open_source(str(tmp_path)).listing()
    assert open_source(str(tmp_path), "folder").listing().classes == ["test", "val"]


@pytest.mark.parametrize("stray", ["cover.png", "dog/cover.png", "dog/extra/1.png", "logos/1.png"])
def test_a_stray_image_leaves_splits_below_classes_as_they_are(tmp_path, stray):
    for name in (f"{c}/{split}/{i}.png" for c in ("cat", "dog") for split in ("train", "test") for i in range(3)):
        save(tmp_path / name)
    save(tmp_path / stray)
    listing = open_source(str(tmp_path)).listing()
    assert sorted({(sample.label, sample.split) for sample in listing.samples}) == [
        (0, "test"),
        (0, "train"),
        (1, "test"),
        (1, "train"),
    ]
    assert [one.path for one in listing.left_out] == [stray]


def test_a_logo_beside_the_folder_of_all_others_is_left_out(tmp_path):
    for name in (f"images/{split}/{c}/{i}.png" for c in ("cat", "dog") for split in ("train", "test") for i in range(3)):
        save(tmp_path / name)
    save(tmp_path / "a-logo.png")
    listing = open_source(str(tmp_path)).listing()
    assert (listing.classes, listing.left_out) == (["cat", "dog"], [("a-logo.png", "outside class folders")])
    assert listing.notes == ["class folders lie in images/"]


def test_a_logo_beside_flat_splits_is_left_out(tmp_path):
    for name in (f"{split}/{i}.png" for split in ("train", "test") for i in range(4)):
        save(tmp_path / name)
    save(tmp_path / "logo.png")
    listing = open_source(str(tmp_path)).listing()
    assert {sample.split for sample in listing.samples} == {"train", "test"}
    assert (listing.classes, listing.left_out) == ([], [("logo.png", "beside train/, in no split")])


def test_links_that_lead_nowhere_lose_no_class(tmp_path):
    for name in ("cat/a.png", "dog/b.png"):
        save(tmp_path / name)
    (tmp_path / "cat" / "me").symlink_to("me")
    (tmp_path / "cat" / "bad.png").symlink_to("a.png/x")
    (tmp_path / "long.png").symlink_to("x" * 300)
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["cat", "dog"]
    assert counted(listing.left_out) == "left out: 3 broken links"


def test_folders_that_link_to_each_other_end(tmp_path):
    for one in range(8):
        save(tmp_path / str(one) / "a.png")
        for other in range(8):
            if other != one:
                (tmp_path / str(one) / f"to-{other}").symlink_to(tmp_path / str(other))
    listing = open_source(str(tmp_path)).listing()
    assert len(listing.samples) < 8 * 8 * 20
    assert {sample.key for sample in listing.samples} >= {f"{one}/a.png" for one in range(8)}


def test_folders_may_lie_very_deep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "dog" / "a.png")
    try:
        assert len(open_source(str(tmp_path)).listing().samples) == 2
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # which Python's own removal is too deep for


def test_names_that_are_not_utf_8_are_left_out_and_make_no_class(tmp_path):
    for name in ("cat/a.png", "dog/b.png", "caf\udce9/c.png", "cat/\udcff.png"):
        save(tmp_path / name)
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["cat", "dog"]
    assert counted(listing.left_out) == "left out: 2 whose names are not UTF-8 (rename them)"


def test_an_archive_beside_class_folders_is_what_they_came_from(tmp_path):
    for name in ("cat/a.png", "dog/b.png"):
        save(tmp_path / name)
    for name in ("pets.tar.gz", "metadata.parquet"):
        (tmp_path / name).write_bytes(b"")
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["cat", "dog"]
    assert counted(listing.left_out) == "left out: 1 of suffix .gz, 1 of suffix .parquet"


def test_a_table_beside_images_is_told_of(tmp_path):
    save(tmp_path / "train" / "1.png")
    (tmp_path / "train.csv").write_text("id,label\n1,cat\n")
    assert open_source(str(tmp_path)).listing().notes == ["if train.csv has the labels, give it as the source"]
    (tmp_path / "train.csv").rename(tmp_path / "metadata.jsonl")
    assert open_source(str(tmp_path)).listing().notes == ["if metadata.jsonl has the labels, give it as the source"]
