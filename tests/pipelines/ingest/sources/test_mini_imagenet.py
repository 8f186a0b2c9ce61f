"""Mini-ImageNet: all classes of the three lists, each split within itself."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.mini_imagenet import MiniImageNetSource
from tests.helpers.inputs.layouts import mini_imagenet_files, write_files


def test_every_class_has_the_last_sixth_of_its_files_as_test(tmp_path):
    files = mini_imagenet_files()
    write_files(tmp_path, files)
    source = MiniImageNetSource(Location.of(tmp_path))
    listing = source.listing()
    assert listing.classes == ["n01", "n02", "n03", "n04", "n05"]
    counts = Counter((sample.label, sample.split) for sample in listing.samples)
    assert counts == {(label, split): count for label in range(5) for split, count in (("train", 10), ("test", 2))}
    test = [sample.key for sample in listing.samples if sample.split == "test"]
    assert test == [f"images/n0{label}000000{i}.jpg" for label in range(1, 6) for i in (10, 11)]
    for sample in listing.samples:
        assert sample.key.startswith(f"images/{listing.classes[sample.label]}")
        assert source.read(sample.key) == files[sample.key]


@pytest.mark.parametrize(("count", "train", "test"), [(600, 500, 100), (5, 5, 0), (6, 5, 1), (11, 10, 1)])
def test_the_sixth_is_rounded_down(tmp_path, count, train, test):
    names = [f"n01{i:08d}.jpg" for i in range(count)]
    for split in ("train", "val", "test"):
        lines = [f"{name},n01" for name in names] if split == "val" else []
        (tmp_path / f"{split}.csv").write_text("\n".join(["filename,label", *lines]))
    (tmp_path / "images").mkdir()
    counts = Counter(sample.split for sample in MiniImageNetSource(Location.of(tmp_path)).listing().samples)
    assert (counts["train"], counts["test"]) == (train, test)


def test_the_order_of_the_lists_and_files_does_not_matter(tmp_path):
    files = mini_imagenet_files()
    write_files(tmp_path / "one", files)
    turned = {}
    for name, content in reversed(files.items()):
        first, *rest = content.splitlines(keepends=True) if name.endswith(".csv") else [content]
        turned[name] = first + b"".join(reversed(rest))
    write_files(tmp_path / "two", turned)
    assert (
        MiniImageNetSource(Location.of(tmp_path / "one")).listing() == MiniImageNetSource(Location.of(tmp_path / "two")).listing()
    )


def test_a_missing_image_fails_alone(tmp_path):
    files = mini_imagenet_files()
    write_files(tmp_path, files)
    gone = next(name for name in files if name.endswith(".jpg"))
    (tmp_path / gone).unlink()
    source = MiniImageNetSource(Location.of(tmp_path))
    assert gone in {sample.key for sample in source.listing().samples}
    with pytest.raises(FileNotFoundError):
        source.read(gone)


@pytest.mark.parametrize("name", ["train.csv", "val.csv", "test.csv"])
def test_a_missing_list_is_named(tmp_path, name):
    write_files(tmp_path, {path: content for path, content in mini_imagenet_files().items() if path != name})
    with pytest.raises(UserError, match=f"{tmp_path}/{name} is missing; put it back, .* other classes"):
        MiniImageNetSource(Location.of(tmp_path)).listing()


WRONG = {
    "another header": (b"file,class\na.jpg,n01\n", r"val.csv does not begin with the line filename,label"),
    "empty": (b"", r"val.csv does not begin with the line filename,label"),
    "one column": (b"filename,label\na.jpg\n", r"val.csv, line 2: 'a.jpg' is not the name of a file in images/ and its class"),
    "no class": (b"filename,label\n\na.jpg,\n", r"val.csv, line 3: 'a.jpg,' is not the name"),
    "a path": (b"filename,label\n../a.jpg,n01\n", r"val.csv, line 2: '../a.jpg,n01' is not the name"),
    "two classes": (
        b"filename,label\nn0200000000.jpg,n77\n",
        r"val.csv, line 2: 'n0200000000.jpg' is of class 'n77', but of 'n02'",
    ),
    "no text": (b"\xff\xff", r"val.csv is no list of Mini-ImageNet"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_line_is_named(tmp_path, case):
    content, said = WRONG[case]
    write_files(tmp_path, mini_imagenet_files() | {"val.csv": content})
    with pytest.raises(UserError, match=said):
        MiniImageNetSource(Location.of(tmp_path)).listing()


def test_lists_without_images_are_refused(tmp_path):
    write_files(tmp_path, {f"{split}.csv": b"filename,label\n" for split in ("train", "val", "test")})
    with pytest.raises(UserError, match="holds no folder images/"):
        MiniImageNetSource(Location.of(tmp_path)).listing()
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="images holds no image files"):
        MiniImageNetSource(Location.of(tmp_path)).listing()


def test_it_travels_to_tasks(tmp_path):
    source = MiniImageNetSource(Location.of(tmp_path))
    assert pickle.loads(pickle.dumps(source)) == source
