"""CIFAR for Python, unpacked or not: pixels, fine labels, splits, and what is damaged by name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.ingest.sources.cifar import CifarSource
from pipelines.ingest.sources.source import Source
from tests.helpers.inputs.layouts import (
    CIFAR10_PARTS,
    Files,
    cifar10_files,
    cifar100_files,
    cifar_pixels,
    pixels,
    python2_pickle,
    tar_bytes,
    write_files,
)

FOLDER10, FOLDER100 = "cifar-10-batches-py", "cifar-100-python"


def place(root: Path, form: str, files: Files) -> Path:
    """Write the files in one of the forms that a user may have; returns what to give as the source."""
    folder = next(iter(files)).split("/")[0]
    archive = folder.replace("batches-py", "python") + ".tar.gz"
    if form == "unpacked":
        write_files(root, files)
    elif form == "archive in a folder":
        write_files(root, {archive: tar_bytes(files, "w:gz")})
    elif form == "archive":
        write_files(root, {archive: tar_bytes(files, "w:gz")})
        return root / archive
    elif form == "archive of another name":
        write_files(root, {"data.tgz": tar_bytes(files, "w:gz")})
        return root / "data.tgz"
    elif form == "inner folder":
        write_files(root, files)
        return root / folder
    else:
        write_files(root, {name.replace(folder, "renamed"): content for name, content in files.items()})
        return root / "renamed"
    return root


FORMS = ["unpacked", "inner folder", "renamed inner folder", "archive in a folder", "archive", "archive of another name"]


def check_pixels(source: Source, name: str, seed: int, count: int) -> None:
    for i, row in enumerate(cifar_pixels(seed, count)):
        image = pixels(source.read(f"{name}:{i}"))
        assert image.shape == (32, 32, 3)
        np.testing.assert_array_equal(np.concatenate([image[:, :, channel].ravel() for channel in range(3)]), row)


@pytest.mark.parametrize("form", FORMS)
def test_cifar10_has_five_training_files_and_one_of_the_test(tmp_path, form):
    source = CifarSource(Location.of(place(tmp_path, form, cifar10_files())))
    listing = source.listing()
    assert (listing.classes[0], listing.classes[9]) == ("airplane", "truck")
    assert [sample.key for sample in listing.samples] == [f"{name}:{i}" for name in CIFAR10_PARTS for i in range(4)]
    assert [sample.split for sample in listing.samples] == ["train"] * 20 + ["test"] * 4
    assert [sample.label for sample in listing.samples] == [(3 * seed + i) % 10 for seed in range(6) for i in range(4)]
    for seed, name in enumerate(CIFAR10_PARTS):
        check_pixels(source, name, seed, 4)


@pytest.mark.parametrize("form", FORMS)
def test_cifar100_has_its_fine_labels(tmp_path, form):
    source = CifarSource(Location.of(place(tmp_path, form, cifar100_files())))
    listing = source.listing()
    assert listing.classes == [f"fine_{i:02d}" for i in range(100)]
    assert [sample.split for sample in listing.samples] == ["train"] * 6 + ["test"] * 6
    assert [sample.label for sample in listing.samples] == [(37 * seed + 11 * i) % 100 for seed in range(2) for i in range(6)]
    check_pixels(source, "train", 0, 6)
    check_pixels(source, "test", 1, 6)


def test_the_order_in_the_archive_does_not_matter(tmp_path):
    files = cifar10_files()
    for name, order in (("one", list(files)), ("two", list(files)[::-1])):
        write_files(tmp_path / name, {"cifar-10-python.tar.gz": tar_bytes({key: files[key] for key in order}, "w:gz")})
    assert CifarSource(Location.of(tmp_path / "one")).listing() == CifarSource(Location.of(tmp_path / "two")).listing()


def test_it_travels_to_tasks_small_even_after_it_was_read(tmp_path):
    source = CifarSource(Location.of(place(tmp_path, "unpacked", cifar10_files())))
    source.listing()
    assert pickle.loads(pickle.dumps(source)) == source
    assert len(pickle.dumps(source)) < 500


class Attack:
    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("form", ["unpacked", "archive"])
def test_a_malicious_file_is_refused_and_not_run(tmp_path, form):
    files = cifar10_files()
    files[f"{FOLDER10}/data_batch_3"] = pickle.dumps({b"data": Attack(tmp_path / "made"), b"labels": []}, 2)
    with pytest.raises(
        UserError, match=r"data_batch_3 is no file of CIFAR, or damaged .*mkdir.* may be an attack.*; fetch it again"
    ):
        CifarSource(Location.of(place(tmp_path, form, files))).listing()
    assert not (tmp_path / "made").exists()


def batch(**changes: object) -> bytes:
    content = {b"labels": [1, 2], b"data": cifar_pixels(0, 2)} | {name.encode(): value for name, value in changes.items()}
    return python2_pickle(content)


WRONG = {
    "cut": (batch()[:-500], r"data_batch_2 is no file of CIFAR, or damaged"),
    "empty": (b"", r"data_batch_2 is no file of CIFAR, or damaged"),
    "another pickle": (python2_pickle([1, 2]), r"data_batch_2 is no file .* holds a list"),
    "no labels": (batch(labels=None), r"data_batch_2 does not hold as many labels as images of 32 x 32"),
    "a label too many": (batch(labels=[1, 2, 3]), r"data_batch_2 does not hold as many labels"),
    "other pixels": (batch(data=np.zeros((2, 28), np.uint8)), r"data_batch_2 does not hold as many labels"),
    "pixels as a list": (batch(data=[[0]]), r"data_batch_2 does not hold as many labels"),
    "a label out of range": (batch(labels=[1, 10]), r"data_batch_2 holds labels outside 0\.\.9"),
    "labels that are true or false": (batch(labels=[True, 0]), r"data_batch_2 holds labels outside 0\.\.9"),
    "a label that is no number": (batch(labels=[1, b"x"]), r"data_batch_2 holds labels outside 0\.\.9"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_named(tmp_path, case):
    content, said = WRONG[case]
    with pytest.raises(UserError, match=said):
        CifarSource(Location.of(place(tmp_path, "unpacked", cifar10_files() | {f"{FOLDER10}/data_batch_2": content}))).listing()


@pytest.mark.parametrize("form", ["unpacked", "archive in a folder", "archive"])
@pytest.mark.parametrize("name", ["data_batch_4", "test_batch", "batches.meta"])
def test_a_missing_file_is_named(tmp_path, form, name):
    files = cifar10_files()
    del files[f"{FOLDER10}/{name}"]
    with pytest.raises(UserError, match=rf"holds no {name}; unpack or fetch cifar-10-python\.tar\.gz again"):
        CifarSource(Location.of(place(tmp_path, form, files))).listing()


def test_class_names_must_be_names(tmp_path):
    files = cifar100_files() | {f"{FOLDER100}/meta": python2_pickle({b"fine_label_names": [1]})}
    with pytest.raises(UserError, match="cifar-100-python/meta holds no class names"):
        CifarSource(Location.of(place(tmp_path, "unpacked", files))).listing()


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "data.tgz"])
@pytest.mark.parametrize("damage", ["cut", "cut early", "no gzip", "bytes changed"])
def test_a_damaged_archive_is_named(tmp_path, name, damage):
    whole = tar_bytes(cifar10_files(), "w:gz")
    content = {
        "cut": whole[: len(whole) // 2],
        "cut early": whole[:5],
        "no gzip": b"no archive",
        "bytes changed": whole[:300] + bytes(200) + whole[500:],
    }[damage]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is cut short or damaged|{name}/\w+ is no file of CIFAR"):
        CifarSource(Location.of(tmp_path / name)).listing()


def test_an_archive_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.tar.gz").write_bytes(tar_bytes({"a/b": b"c"}, "w:gz"))
    with pytest.raises(UserError, match=r"other.tar.gz holds neither cifar-10-batches-py/ nor cifar-100-python/"):
        CifarSource(Location.of(tmp_path / "other.tar.gz")).listing()


def test_a_folder_with_none_or_both_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no CIFAR for Python \(cifar-10-batches-py/ or cifar-10-python.tar.gz or"):
        CifarSource(Location.of(tmp_path)).listing()
    write_files(tmp_path, cifar10_files() | cifar100_files())
    with pytest.raises(UserError, match=rf"both CIFAR-10 and CIFAR-100; give {tmp_path}/{FOLDER10} or {tmp_path}/{FOLDER100}"):
        CifarSource(Location.of(tmp_path)).listing()
    assert len(CifarSource(tmp_path / FOLDER10).listing().classes) == 10
    assert len(CifarSource(tmp_path / FOLDER100).listing().classes) == 100
