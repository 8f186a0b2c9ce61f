"""Writing one shard: images as they are or decoded, and how many decoded ones a shard may hold."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.files.location import Location
from pipelines.ingest import shard_writer as ingest_part
from pipelines.ingest.shard_writer import PartWriter, ShardPlan, most_decoded_rows, most_rows
from pipelines.ingest.sources.source import Listing, Piece, Sample
from pipelines.ingest.stored_form import StoredForm
from pipelines.views.crops import CropSpec, center_crop, random_crops
from tests.helpers.inputs.layouts import jpeg

CROPS = [CropSpec(8, (0.3, 1.0)), CropSpec(8, (0.3, 1.0), pad=2)]


class Memory:
    """A source of images in memory."""

    def __init__(self, images: dict[str, bytes]) -> None:
        self.images = images

    def listing(self) -> Listing:
        return Listing([Sample(key, 0, "train") for key in self.images], ["one"])

    def read(self, key: str) -> bytes:
        return self.images[key]


def png(mode: str) -> bytes:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def write(source: Memory, folder: object, *, pixels: bool) -> tuple[ingest_part.Written, list[bytes]]:
    location = Location.of(str(folder))
    (location / "train").make()
    written = PartWriter(source, ["one"], location, StoredForm(pixels)).write(ShardPlan("train", 0, 0, source.listing().samples))
    return written, pq.read_table(f"{folder}/{written.shard.path}")["image"].to_pylist()


def test_images_of_many_bytes_come_in_shards_that_a_task_can_hold(monkeypatch):
    source = Memory({str(number): bytes(1000) for number in range(40)})
    assert most_rows(source, source.listing(), StoredForm(), 4096) == 4096
    monkeypatch.setattr(ingest_part, "ENCODED_BYTES", 7500)
    assert most_rows(source, source.listing(), StoredForm(), 4096) == 7
    assert most_rows(source, source.listing(), StoredForm(), 5) == 5
    assert most_rows(source, source.listing(), StoredForm(short_side=8), 4096) == 4096  # none of these is held as it comes
    packed = replace(source.listing(), pieces=[Piece("a", range(30), 60_000), Piece("a", range(30, 40), 20_000)])
    assert most_rows(Memory({}), packed, StoredForm(), 4096) == 3
    monkeypatch.setattr(ingest_part, "ENCODED_BYTES", 1)
    assert most_rows(source, source.listing(), StoredForm(), 4096) == 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_decoded_images_give_the_views_of_the_encoded_ones(tmp_path, mode):
    encoded = png(mode)
    (stored,) = write(Memory({"a": encoded}), tmp_path, pixels=True)[1]
    assert stored[:2] == (b"P5" if mode in ("L", "1", "I;16") else b"P6")
    draws = np.random.default_rng(0).random((len(CROPS), 10, 4), dtype=np.float32)
    for one, other in zip(random_crops(stored, CROPS, draws), random_crops(encoded, CROPS, draws), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(center_crop(stored, 8, 10), center_crop(encoded, 8, 10))


def test_images_stay_as_they_are_unless_pixels_are_asked_for(tmp_path):
    source = Memory({"a": png("RGB"), "b": jpeg(0)})
    assert write(source, tmp_path, pixels=False)[1] == list(source.images.values())


def test_what_cannot_be_decoded_is_set_aside_in_both_ways(tmp_path):
    source = Memory({"a": png("RGB"), "b": jpeg(0)[:300], "c": b"none"})
    for pixels in (False, True):
        written, stored = write(source, tmp_path / str(pixels), pixels=pixels)
        assert [key for key, _ in written.bad] == ["b", "c"]
        assert len(stored) == 1


def test_a_shard_of_decoded_images_is_bounded_by_their_size(monkeypatch):
    monkeypatch.setattr(ingest_part, "SHARD_BYTES", 3 * 12 * 20 * 7)
    source = Memory({str(index): png("RGB") for index in range(40)} | {"bad": b"none"})
    assert most_decoded_rows(source, source.listing(), StoredForm()) == 7
    monkeypatch.setattr(ingest_part, "SHARD_BYTES", 1)
    assert most_decoded_rows(source, source.listing(), StoredForm()) == 1
    assert most_decoded_rows(Memory({"bad": b"none"}), Memory({"bad": b"none"}).listing(), StoredForm()) == 1


def test_a_name_that_is_not_utf_8_is_set_aside_by_a_name_that_can_be_shown(tmp_path):
    written, images = write(Memory({"a": png("RGB"), "b\udcff.png": png("RGB")}), tmp_path, pixels=False)
    assert len(images) == 1
    assert written.bad == [("b\udcff.png", "its name is not UTF-8: rename it")]


def test_pictures_of_12_bits_are_counted(tmp_path):
    deep = io.BytesIO()
    Image.fromarray(np.full((4, 4), 4000, np.uint16)).save(deep, "PNG")
    written, _ = write(Memory({"a": png("RGB"), "b": deep.getvalue()}), tmp_path, pixels=False)
    assert written.dark == 1
