"""IDX files: images, labels and splits as they are stored, and damage by name."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.recognise import open_source
from pipelines.ingest.sources.idx import IdxSource
from tests.helpers.inputs.layouts import pixels

FASHION = Path("/usr/share/datasets/fashion-mnist")


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


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_give_images_labels_and_splits(tmp_path, suffix):
    images, labels = write_idx(tmp_path, suffix)
    source = open_source(str(tmp_path))
    assert source == IdxSource(Location.of(tmp_path))
    listing = source.listing()
    assert [sample.split for sample in listing.samples] == ["train"] * 12 + ["test"] * 5
    assert [sample.label for sample in listing.samples] == labels[:17].tolist()
    for sample, image in zip(listing.samples, images, strict=True):
        np.testing.assert_array_equal(pixels(source.read(sample.key)), image)


def test_files_that_were_replaced_are_read_anew_by_a_source_that_is_opened_then(tmp_path):
    write_idx(tmp_path, "")
    first = open_source(str(tmp_path))
    before = first.read(first.listing().samples[0].key)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.full((12, 8, 8), 7)))
    again = open_source(str(tmp_path))
    assert first == again
    assert pixels(again.read(again.listing().samples[0].key)).tolist() == np.full((8, 8), 7).tolist() != pixels(before).tolist()


def test_idx_without_labels_is_unlabelled_and_says_so(tmp_path):
    write_idx(tmp_path, "")
    assert open_source(str(tmp_path)).listing().notes == []
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert open_source(str(tmp_path)).listing().notes == [
        "beside train-images-idx3-ubyte lies no train-labels-idx1-ubyte: its images have no labels"
    ]
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
    "more values than a number counts": ("", struct.pack(">HBB3I", 0, 8, 3, 1 << 31, 1 << 31, 4)),
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
