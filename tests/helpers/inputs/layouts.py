"""Small data sets in the layouts that their authors publish, written from scikit-learn's photographs and digits."""

from __future__ import annotations

import csv
import functools
import io
import pickle
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits, load_sample_images

Files = dict[str, bytes]  # content by path


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def save(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)


@functools.cache
def jpeg(index: int) -> bytes:
    """A crop of a photograph; another index is another crop."""
    photo = load_sample_images().images[index % 2]
    top, left = (37 * index) % 380, (53 * index) % 590
    buffer = io.BytesIO()
    Image.fromarray(photo[top : top + 40, left : left + 48]).save(buffer, "JPEG")
    return buffer.getvalue()


def write_files(root: Path, files: Files) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def tar_bytes(files: Files, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


# DomainNet


def domainnet_files(domain: str, classes: Sequence[str] = ("axe", "bee"), count: int = 3) -> Files:
    """Images by path, as folder and zip of a domain have them."""
    start = sum(domain.encode())
    return {
        f"{domain}/{name}/{domain}_{c:03d}_{i:06d}.jpg": jpeg(start + 10 * c + i)
        for c, name in enumerate(classes) for i in range(1, count + 1)
    }  # fmt: skip


def write_lists(root: Path, domain: str, files: Files, classes: Sequence[str] = ("axe", "bee")) -> None:
    """The two lists of a domain; the last image of each class is for the test."""
    last = {key.split("/")[1]: key for key in files}
    for split, wanted in (("train", False), ("test", True)):
        keys = [key for key in files if (key in last.values()) is wanted]
        lines = [f"{key} {list(classes).index(key.split('/')[1])}\n" for key in keys]
        (root / f"{domain}_{split}.txt").write_text("".join(lines))


def write_zip(path: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for folder in sorted({name.rsplit("/", 1)[0] + "/" for name in files}):
            archive.writestr(folder, b"")
        for name, content in files.items():
            archive.writestr(name, content)


# CIFAR


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2 wrote its strings."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        if self.proto == 0:
            self.write(b"S" + repr(content)[1:].encode() + b"\n")
        else:
            self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(value: object, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol).dump(value)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@functools.cache
def cifar_pixels(seed: int, count: int) -> np.ndarray:
    """Digits on coloured ground as rows of 3,072: red, then green, then blue."""
    scans = load_digits().images[seed * count : (seed + 1) * count] * (255 / 16)
    large = scans.repeat(4, axis=1).repeat(4, axis=2)
    planes = np.stack([large, 255 - large, np.full_like(large, 20 * seed)], axis=1)
    return planes.reshape(count, 3072).round().astype(np.uint8)


CIFAR10_PARTS = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def cifar10_files(count: int = 4) -> Files:
    names = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]
    meta = {b"num_cases_per_batch": count, b"label_names": names, b"num_vis": 3072}
    files = {"batches.meta": python2_pickle(meta, 0), "readme.html": b"<html>"}
    for seed, part in enumerate(CIFAR10_PARTS):
        batch = {
            b"batch_label": f"batch {seed}".encode(),
            b"labels": [(3 * seed + i) % 10 for i in range(count)],
            b"data": cifar_pixels(seed, count),
            b"filenames": [f"digit_s_{i:06d}.png".encode() for i in range(count)],
        }
        files[part] = python2_pickle(batch)
    return {f"cifar-10-batches-py/{name}": content for name, content in files.items()}


def cifar100_files(count: int = 6) -> Files:
    fine, coarse = [f"fine_{i:02d}".encode() for i in range(100)], [f"coarse_{i:02d}".encode() for i in range(20)]
    files = {"meta": python2_pickle({b"fine_label_names": fine, b"coarse_label_names": coarse}), "file.txt~": b""}
    for seed, part in enumerate(("train", "test")):
        batch = {
            b"filenames": [f"digit_s_{i:06d}.png".encode() for i in range(count)],
            b"batch_label": part.encode(),
            b"fine_labels": [(37 * seed + 11 * i) % 100 for i in range(count)],
            b"coarse_labels": [i % 20 for i in range(count)],
            b"data": cifar_pixels(seed, count),
        }
        files[part] = python2_pickle(batch)
    return {f"cifar-100-python/{name}": content for name, content in files.items()}


# Mini-ImageNet

MINI_CLASSES = {"train": ["n02", "n05"], "val": ["n01"], "test": ["n04", "n03"]}


def mini_imagenet_files(count: int = 12) -> Files:
    files: Files = {}
    for split, classes in MINI_CLASSES.items():
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["filename", "label"])
        for name in classes:
            for i in range(count):
                file = f"{name}000000{(7 * i) % count:02d}.jpg"  # the lists are not sorted
                files[f"images/{file}"] = jpeg(int(name[1:]) * 100 + i)
                rows.writerow([file, name])
        files[f"{split}.csv"] = text.getvalue().encode()
    return files


# ImageNet

WNIDS = ["n01440764", "n01443537", "n02084071", "n03000684"]
CLASS_NUMBERS = [3, 1, 4, 2]  # ILSVRC2012_ID of each of them: another order than theirs
VAL_CLASSES = [2, 2, 4, 1, 3, 3, 1]


def train_images(count: int = 3) -> dict[str, Files]:
    """Images by class and file name."""
    return {
        wnid: {f"{wnid}_{10 * i + 7}.JPEG": jpeg(100 * c + i) for i in range(count)}
        for c, wnid in enumerate(WNIDS)
    }  # fmt: skip


def train_tar(images: dict[str, Files]) -> bytes:
    return tar_bytes({f"{wnid}.tar": tar_bytes(files) for wnid, files in images.items()})


def val_images() -> Files:
    return {f"ILSVRC2012_val_{i:08d}.JPEG": jpeg(1000 + i) for i in range(1, len(VAL_CLASSES) + 1)}


def meta_mat(numbers: Sequence[int] = CLASS_NUMBERS, wnids: Sequence[str] = WNIDS) -> bytes:
    """The kit's table, with a group of classes below the classes."""
    kinds = [(name, "O") for name in (
        "ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images",
    )]  # fmt: skip
    rows = [
        (float(number), wnid, f"words of {wnid}", "a gloss", 0.0, np.empty((1, 0)), 0.0, 1300.0)
        for number, wnid in sorted(zip(numbers, wnids, strict=True))
    ]
    rows.append((1001.0, "n00001740", "entity", "all", 2.0, np.array([[1.0, 2.0]]), 3.0, 0.0))
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)}, do_compression=True)
    return buffer.getvalue()


def kit_files(classes: Sequence[int] = VAL_CLASSES) -> Files:
    return {
        "ILSVRC2012_devkit_t12/readme.txt": b"read me",
        "ILSVRC2012_devkit_t12/data/meta.mat": meta_mat(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": "".join(f"{i}\n" for i in classes).encode(),
    }


def imagenet_files() -> Files:
    return {
        "ILSVRC2012_img_train.tar": train_tar(train_images()),
        "ILSVRC2012_img_val.tar": tar_bytes(val_images()),
        "ILSVRC2012_devkit_t12.tar.gz": tar_bytes(kit_files(), "w:gz"),
    }
