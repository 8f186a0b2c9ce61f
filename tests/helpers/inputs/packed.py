"""The same labelled images in the layouts that people bring."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.image_shards import Dataset
from tests.helpers.inputs.layouts import (
    CLASS_NUMBERS,
    VAL_CLASSES,
    WNIDS,
    kit_files,
    pixels,
    tar_bytes,
    train_images,
    train_tar,
    val_images,
    write_files,
)

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
Labelled = dict[str, list[tuple[str, str, bytes]]]  # name, class and content of each image, by split


def fifty_images() -> Labelled:
    """Four classes: 44 images to train on and 7 to test with, as the made-up ImageNet has them."""
    class_of = dict(zip(CLASS_NUMBERS, WNIDS, strict=True))
    train = [(name, wnid, image) for wnid, files in train_images(11).items() for name, image in files.items()]
    val = val_images().items()
    return {"train": train, "val": [(name, class_of[c], image) for (name, image), c in zip(val, VAL_CLASSES, strict=True)]}


def as_published(root: Path) -> None:
    files = {"ILSVRC2012_img_train.tar": train_tar(train_images(11)), "ILSVRC2012_img_val.tar": tar_bytes(val_images())}
    write_files(root, files | kit_files())


def as_folders(root: Path) -> None:
    write_files(root, {f"{split}/{c}/{name}": image for split, rows in fifty_images().items() for name, c, image in rows})


def features(names: list[str]) -> dict[bytes, bytes]:
    """What Hugging Face notes in a schema."""
    content = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": content}}).encode()}


def as_hugging_face(root: Path) -> None:
    """As their ImageNet-1k: numbered files in data/, structs of bytes and path, and a test split without labels."""
    (root / "data").mkdir(parents=True)
    (root / "README.md").write_text("---\nlicense: other\n---\n")
    images = fifty_images() | {"test": [(f"test_{i}.JPEG", "", val_images()[name]) for i, name in enumerate(val_images())]}
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = images[split]
        for part in range(2):
            mine = rows[part::2]
            table = pa.table(
                {
                    "image": pa.array(
                        [{"bytes": image, "path": name} for name, _, image in mine],
                        STRUCT,
                    ),
                    "label": pa.array([WNIDS.index(c) if c else -1 for _, c, _ in mine], pa.int64()),
                }
            )
            path = root / "data" / f"{name}-{part:05d}-of-00002-8a3b0c.parquet"
            pq.write_table(table.replace_schema_metadata(features(WNIDS)), path, row_group_size=5)


def samples_of(rows: list[tuple[str, str, bytes]], prefix: str, label: str) -> Iterator[tuple[str, bytes]]:
    """Files of a WebDataset tar; `label` is cls, json or txt."""
    for index, (_, c, image) in enumerate(rows):
        content: Any = {"cls": c, "json": json.dumps({"label": c, "width": 48}), "txt": f"{c}\n"}[label]
        yield f"{prefix}{index:06d}.jpg", image
        yield f"{prefix}{index:06d}.{label}", content.encode()


def as_tars(root: Path, *, packed: bool = False, label: str = "cls", prefix: str = "./") -> None:
    for split, rows in fifty_images().items():
        for part in range(3):
            files = dict(samples_of(rows[part::3], prefix, label))
            write_files(root, {f"{split}-{part:06d}.tar{'.gz' * packed}": tar_bytes(files, "w:gz" if packed else "w")})


def as_table(root: Path) -> Path:
    """A CSV as Excel writes it, beside a folder of images."""
    lines, files = ["Filename;Class;Split"], dict[str, bytes]()
    for split, rows in fifty_images().items():
        for name, c, image in rows:
            files[f"all/{name}"] = image
            lines.append(f'"all\\{name}";{c};{split}')
    write_files(root, files | {"list.csv": b"\xef\xbb\xbf" + "\r\n".join(lines).encode()})
    return root / "list.csv"


def as_uris(root: Path) -> Path:
    """Parquet with paths and dictionary labels."""
    as_folders(root)
    rows = [(f"{split}/{c}/{name}", c, split) for split, part in fifty_images().items() for name, c, _ in part]
    paths, labels, splits = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"uri": paths, "label": pa.array(labels).dictionary_encode(), "split": splits})
    pq.write_table(table, root / "list.parquet")
    return root / "list.parquet"


def as_plain_parquet(root: Path) -> None:
    """Bytes and names, one file a split, in folders that say which."""
    for split, rows in fifty_images().items():
        (root / split).mkdir(parents=True)
        table = pa.table({"img": [image for *_, image in rows], "category": [c for _, c, _ in rows], "width": [48] * len(rows)})
        pq.write_table(table, root / split / "0000.PARQUET")


def buffer_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


LAYOUTS: dict[str, Callable[[Path], Path | None]] = {
    "published tars": as_published,
    "class folders": as_folders,
    "hugging face": as_hugging_face,
    "plain parquet": as_plain_parquet,
    "parquet of paths": as_uris,
    "tars": as_tars,
    "gzipped tars": lambda root: as_tars(root, packed=True),
    "tars with json": lambda root: as_tars(root, label="json", prefix="deep/er/"),
    "tars with txt": lambda root: as_tars(root, label="txt", prefix=""),
    "a table of excel": as_table,
}


def content(dataset: Dataset) -> dict[tuple[str, str], tuple[str, bytes]]:
    """Class and pixels of each image by split and SHA-256 of its bytes."""
    found = {}
    for split in dataset.splits:
        for shard in dataset.split(split).shards:
            for row in pq.read_table(f"{dataset.location.path}/{shard.path}").to_pylist():
                key = split, hashlib.sha256(row["image"]).hexdigest()
                found[key] = dataset.classes[row["label"]], pixels(row["image"]).tobytes()
    return found


def expected() -> dict[tuple[str, str], tuple[str, bytes]]:
    split_of = {"train": "train", "val": "test"}
    return {
        (split_of[split], hashlib.sha256(image).hexdigest()): (c, pixels(image).tobytes())
        for split, rows in fifty_images().items() for _, c, image in rows
    }  # fmt: skip
