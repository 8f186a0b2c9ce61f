"""Files of a data set are those that its manifest describes, or they are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.datasets.image_shards import Dataset, Split, read_column
from pipelines.datasets.shard_files import SCHEMA, Shard, read_group, shard_file, write_shard
from pipelines.errors import UserError
from pipelines.files.location import Location

ROWS = 300


def images(seed: int) -> list[bytes]:
    """As many and as long for any seed."""
    return [row.to_bytes(2) + np.random.default_rng((seed, row)).bytes(1000 + row) for row in range(ROWS)]


def write(place: Location, seed: int) -> Shard:
    values = range(ROWS), images(seed), [0] * ROWS, ["train"] * ROWS, [f"{row}.png" for row in range(ROWS)]
    columns = dict(zip(SCHEMA.names, (pa.array(each) for each in values), strict=True))
    (place / "train").make()
    return write_shard(place, "train/part-00000.parquet", pa.table(columns).cast(SCHEMA), {"split": "train"})


@pytest.fixture
def place(tmp_path: Path) -> Location:
    return Location.of(str(tmp_path))


def test_a_shard_with_other_rows_in_as_many_bytes_is_refused(place):
    mine = write(place, 1)
    assert shard_file(place, mine).metadata.num_rows == ROWS
    other = next(shard for seed in range(2, 100) if (shard := write(place, seed)).bytes == mine.bytes)
    shard_file(place, other)
    with pytest.raises(
        UserError, match=r"part-00000\.parquet is not the file that its manifest describes.*as many bytes; restore"
    ):
        read_group(place, replace(mine, digest="of a process that starts now"), 0, ["id"])


def test_a_manifest_of_before_says_nothing_of_that(place):
    mine = replace(write(place, 1), layout="")
    write(place, 2)
    assert read_group(place, replace(mine, digest="new"), 0, ["image"])["image"][0].as_py() == images(2)[0]


def test_what_tells_a_file_from_another_is_kept_and_is_no_part_of_the_fingerprint(place):
    split = Split(ROWS, [write(place, 1)], [ROWS])
    dataset = Dataset(place, "noise", ["noise"], {"train": split}, 0)
    dataset.save()
    opened = Dataset.open(str(place))
    assert opened.splits["train"].shards[0].layout == split.shards[0].layout != ""
    old = replace(dataset, splits={"train": replace(split, shards=[replace(split.shards[0], layout="")])})
    assert opened.fingerprint == old.fingerprint
    old.save()
    assert (read_column(Dataset.open(str(place)), "train", "label") == 0).all()
