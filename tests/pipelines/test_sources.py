"""Sources: what they list, in which order, and the bytes they read."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.errors import UserError
from pipelines.sources import DigitsSource, FolderSource, IdxSource, ImagesSource, encode_png, open_source

FASHION = Path("/usr/share/datasets/fashion-mnist")


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, suffix: str, train: int = 12, test: int = 5) -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)[: train + test]
    for part, rows in (("train", slice(0, train)), ("t10k", slice(train, train + test))):
        for what, array in (("images-idx3-ubyte", images[rows]), ("labels-idx1-ubyte", labels[: train + test][rows])):
            content = idx(array)
            (folder / f"{part}-{what}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    return images, labels


def save(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)


def test_digits_lists_every_scan_and_holds_out_every_fifth():
    listing = DigitsSource().listing()
    assert len(listing.samples) == 1797
    assert [i for i, sample in enumerate(listing.samples) if sample.split == "test"] == list(range(4, 1797, 5))
    assert [sample.label for sample in listing.samples] == load_digits().target.tolist()
    assert listing.classes == list("0123456789")


def test_digits_reads_a_scan_with_its_levels_stretched():
    scan = load_digits().images[7]
    np.testing.assert_array_equal(pixels(DigitsSource().read("7")), np.round(scan * 255 / 16))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_give_images_labels_and_splits(tmp_path, suffix):
    images, labels = write_idx(tmp_path, suffix)
    source = open_source(str(tmp_path))
    assert source == IdxSource(tmp_path)
    listing = source.listing()
    assert [sample.split for sample in listing.samples] == ["train"] * 12 + ["test"] * 5
    assert [sample.label for sample in listing.samples] == labels[:17].tolist()
    for sample, image in zip(listing.samples, images, strict=True):
        np.testing.assert_array_equal(pixels(source.read(sample.key)), image)


def test_idx_without_labels_is_unlabelled(tmp_path):
    write_idx(tmp_path, "")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    labels = {sample.split: sample.label for sample in open_source(str(tmp_path)).listing().samples}
    assert labels["train"] is None
    assert labels["test"] is not None


def test_idx_labels_of_another_file_are_refused(tmp_path):
    write_idx(tmp_path, "")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(11)))
    with pytest.raises(UserError, match="11 labels for 12 images"):
        open_source(str(tmp_path)).listing()


WHOLE = idx(np.zeros((3, 8, 8)))
DAMAGED = {
    "plain, cut in the pixels": ("", WHOLE[:-10]),
    "plain, cut in the header": ("", WHOLE[:6]),
    "plain, empty": ("", b""),
    "plain, of floats": ("", struct.pack(">HBBI", 0, 13, 1, 1) + bytes(4)),
    "gzip, cut": (".gz", gzip.compress(WHOLE)[:-12]),
    "gzip, by name only": (".gz", WHOLE),
    "images of one axis": ("", idx(np.zeros(3))),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_idx_file_is_named(tmp_path, case):
    suffix, content = DAMAGED[case]
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(content)
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        open_source(str(tmp_path)).listing()


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_read_as_it_is_stored():
    source = open_source(str(FASHION))
    listing = source.listing()
    assert [sum(sample.split == split for sample in listing.samples) for split in ("train", "test")] == [60_000, 10_000]
    assert np.bincount([sample.label for sample in listing.samples]).tolist() == [7_000] * 10
    stored = gzip.decompress((FASHION / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    first_and_last = (stored[:784], stored[-784:])
    for key, raw in zip(("train:0", "train:59999"), first_and_last, strict=True):
        assert pixels(source.read(key)).tobytes() == raw


def test_class_folders_give_sorted_classes_and_relative_paths(tmp_path):
    for name in ("dog/b.png", "dog/a.JPG", "cat/deep/x.png", "ant/1.webp"):
        save(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["ant", "cat", "dog"]
    found = {sample.key: sample.label for sample in listing.samples}
    assert found == {"ant/1.webp": 0, "cat/deep/x.png": 1, "dog/a.JPG": 2, "dog/b.png": 2}
    assert {sample.split for sample in listing.samples} == {"train"}


@pytest.mark.parametrize("test_name", ["val", "test", "validation"])
def test_folders_train_and_val_are_splits_with_common_classes(tmp_path, test_name):
    save(tmp_path / "train" / "cat" / "a.png")
    save(tmp_path / "train" / "dog" / "b.png")
    save(tmp_path / test_name / "dog" / "c.png")
    listing = open_source(str(tmp_path)).listing()
    assert listing.classes == ["cat", "dog"]
    assert {(sample.split, sample.label) for sample in listing.samples} == {("train", 0), ("train", 1), ("test", 1)}


@pytest.mark.parametrize("kind", [FolderSource, ImagesSource])
def test_a_listing_is_sorted_whatever_the_order_of_the_directory(tmp_path, kind):
    names = [f"c{i % 3}/{i:02d}.png" for i in range(30)]
    for name in names[::-1]:
        save(tmp_path / name)
    assert [sample.key for sample in kind(tmp_path).listing().samples] == sorted(names)


def test_a_flat_folder_is_unlabelled(tmp_path):
    for name in ("b.png", "a.png"):
        save(tmp_path / name)
    source = open_source(str(tmp_path))
    assert source == ImagesSource(tmp_path)
    assert [(sample.key, sample.label) for sample in source.listing().samples] == [("a.png", None), ("b.png", None)]
    assert source.listing().classes == []


def test_kind_images_ignores_the_folders_names(tmp_path):
    save(tmp_path / "cat" / "a.png", shade=9)
    source = open_source(str(tmp_path), "images")
    (sample,) = source.listing().samples
    assert sample.label is None
    assert source.read(sample.key) == (tmp_path / "cat" / "a.png").read_bytes()


@pytest.mark.parametrize("kind", ["auto", "folder", "images", "idx"])
def test_an_empty_folder_is_refused_by_name(tmp_path, kind):
    with pytest.raises(UserError, match=str(tmp_path)):
        open_source(str(tmp_path), kind).listing()


def test_class_folders_without_images_are_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "readme.txt").write_text("none")
    with pytest.raises(UserError, match="no image files"):
        open_source(str(tmp_path)).listing()


def test_a_place_that_is_nowhere_and_a_kind_that_is_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder and no built-in data set"):
        open_source(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="nearest valid name: folder"):
        open_source(str(tmp_path), "foldr")


@pytest.mark.parametrize("kind", [DigitsSource(), IdxSource(Path("/x")), FolderSource(Path("/x")), ImagesSource(Path("/x"))])
def test_sources_travel_to_tasks(kind):
    assert pickle.loads(pickle.dumps(kind)) == kind


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_encode_png_keeps_every_pixel(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(pixels(encode_png(image)), image)
