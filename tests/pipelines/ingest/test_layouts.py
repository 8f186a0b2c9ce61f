"""The same images in every layout that people bring, on a disk and on an object store, are the same data set."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.ingest import exchange
from pipelines.ingest.containers import parquet_images
from pipelines.ingest.ingest import ingest
from pipelines.ingest.recognise import open_source
from tests.helpers.inputs import packed
from tests.helpers.inputs.layouts import WNIDS
from tests.helpers.inputs.packed import LAYOUTS, content, expected

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_images_are_the_same_data_set_in_every_layout(tmp_path, layout):
    place = LAYOUTS[layout](tmp_path / "source") or tmp_path / "source"
    dataset = ingest(open_source(str(place)), str(tmp_path / "data"), name="x", rows_per_shard=20)
    assert dataset.classes == sorted(WNIDS)
    assert content(dataset) == expected()
    assert [shard.rows for shard in dataset.split("train").shards] == [20, 20, 4]


@pytest.mark.parametrize("objects", [1, 8, 100_000])
@pytest.mark.parametrize("piece_bytes", [1, 10_000, 1 << 30])
def test_how_the_exchange_is_cut_changes_nothing(tmp_path, monkeypatch, objects, piece_bytes):
    packed.as_hugging_face(tmp_path / "source")
    monkeypatch.setattr(exchange, "MOST_OBJECTS", objects)
    monkeypatch.setattr(parquet_images, "PIECE_BYTES", piece_bytes)
    dataset = ingest(open_source(str(tmp_path / "source")), str(tmp_path / "data"), name="x", rows_per_shard=3, val=0.2)
    found = content(dataset)
    assert {key: value for (_, key), value in found.items()} == {key: value for (_, key), value in expected().items()}
    ids = [pq.read_table(tmp_path / "data" / shard.path)["id"].to_pylist() for shard in dataset.split("train").shards]
    assert [row for part in ids for row in part] == list(range(dataset.split("train").rows))


def test_a_packed_source_is_shuffled_as_any_other(tmp_path):
    packed.as_tars(tmp_path / "source", packed=True)
    dataset = ingest(open_source(str(tmp_path / "source")), str(tmp_path / "data"), name="x", rows_per_shard=11)
    first = pq.read_table(tmp_path / "data" / dataset.split("train").shards[0].path)
    assert len(set(first["label"].to_pylist())) == 4


def test_rows_without_an_image_and_damaged_ones_are_set_aside(tmp_path):
    images = [image for *_, image in packed.fifty_images()["train"]][:12]
    rows = [*images[:10], None, b"", images[10][:100]]
    (tmp_path / "source").mkdir()
    pq.write_table(pa.table({"image": pa.array(rows, pa.binary())}), tmp_path / "source" / "a.parquet", row_group_size=3)
    dataset = ingest(open_source(str(tmp_path / "source")), str(tmp_path / "data"), name="x")
    listed = pq.read_table(tmp_path / "data" / "quarantine.parquet").to_pydict()
    reasons = dict(zip(listed["path"], listed["reason"], strict=True))
    assert reasons.pop("a.parquet:10") == "ValueError: no image in its row"
    assert reasons.pop("a.parquet:11") == "empty file"
    assert reasons.pop("a.parquet:12") == "OSError: Truncated File Read"
    assert not reasons
    assert dataset.split("train").rows == 10
    assert np.array(dataset.split("train").class_counts).size == 0
