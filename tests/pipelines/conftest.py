"""Data sets of real digits that need no Ray, a run that was never stopped, and a disk that refuses large files."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.digits import DigitsSource
from pipelines.kinds import PretrainConfig
from pipelines.launch import train
from pipelines.recipe import read_recipe
from pipelines.shards import SCHEMA, Dataset, Split, write_shard
from pipelines.storage import Location


def write_digits(folder: Path, rows: int, rows_per_shard: int, *, holes: Collection[int] = (), labelled: bool = True) -> Dataset:
    """The first scans as the split `train`; ids in `holes` get no row."""
    source, location = DigitsSource(), Location.of(folder)
    (location / "train").make()
    classes, samples = source.listing().classes, source.listing().samples[:rows]
    shards, counts = [], [0] * len(classes)
    for index, start in enumerate(range(0, rows, rows_per_shard)):
        ids = [i for i in range(start, min(start + rows_per_shard, rows)) if i not in holes]
        for i in ids:
            counts[samples[i].label] += 1
        columns = {
            "id": ids,
            "image": [source.read(samples[i].key) for i in ids],
            "label": [samples[i].label if labelled else None for i in ids],
            "split": ["train"] * len(ids),
            "source": [samples[i].key for i in ids],
        }
        table = pa.table(columns, schema=SCHEMA)
        shards.append(write_shard(location, f"train/part-{index:05d}.parquet", table, {"split": "train"}))
    split = Split(rows, shards, counts if labelled else [])
    dataset = Dataset(location, "digits", classes, {"train": split}, len(holes))
    dataset.save()
    return dataset


@pytest.fixture(scope="session")
def some_digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """300 digits in three shards of two row groups each; read it, do not change it."""
    return write_digits(tmp_path_factory.mktemp("some") / "digits", 300, 140)


@pytest.fixture
def small_files() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """Within the block the kernel refuses to let any file grow beyond so many bytes, as a full disk does."""

    @contextlib.contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


LUMP_ROWS, LUMP_DIM = 2000, 8


def write_lumps(folder: Path) -> None:
    """Lumps of very different sizes, sorted by lump, in two files of short row groups; ids are strings."""
    random = np.random.default_rng(0)
    share = random.pareto(1.0, 15) + 0.1
    lump = np.sort(random.choice(15, LUMP_ROWS, p=share / share.sum()))
    rows = (random.normal(size=(15, LUMP_DIM))[lump] + 0.8 * random.normal(size=(LUMP_ROWS, LUMP_DIM))).astype(np.float32)
    folder.mkdir()
    for name, mine in (("a", slice(0, 1100)), ("b", slice(1100, LUMP_ROWS))):
        ids = [f"row-{place}" for place in range(LUMP_ROWS)[mine]]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows[mine].reshape(-1)), LUMP_DIM)
        pq.write_table(pa.table({"path": ids, "embedding": vectors}), folder / f"{name}.parquet", row_group_size=150)


@pytest.fixture(scope="session")
def lumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of vectors in lumps; read it, do not change it."""
    made = tmp_path_factory.mktemp("vectors") / "embeddings"
    write_lumps(made)
    return made


RECIPE = str(Path(__file__).parents[2] / "recipes" / "coke_digits.yaml")
SMALL = [
    "--views.large", "[{size: 8, scale: [0.6, 1.0], flip: 0.0, jitter: [0.2, 0.2, 0.0, 0.0]}]", "--method.label_weight", "1.0",
    "--backbone", '{"name": "wrn-10-1", "stem": "auto", "options": {}}', "--method.num_clusters", "[30, 20]",
    "--method.dim", "16", "--batch_size", "64", "--epochs", "4", "--checkpoint.every_steps", "7", "--checkpoint.keep_last", "50",
    "--monitor.log_steps", "5", "--monitor.picture_epochs", "2", "--compute.threads", "1",
]  # fmt: skip
STEPS = 1438 // 64


def words(digits: str, storage: Path, name: str, *more: str) -> list[str]:
    return ["--data.shards", digits, "--storage", str(storage), "--name", name, *SMALL, *more]


@pytest.fixture(scope="session")
def straight(digits, tmp_path_factory) -> Path:
    """A run that was never stopped, started with relative paths as the README does."""
    storage = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(storage)
        train(read_recipe(RECIPE, PretrainConfig, words(os.path.relpath(digits), Path(), "straight")))
    return storage / "straight"
