"""Readers of Parquet files: no two threads share one, and they are kept as long as the file is the same."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, open_parquet

GROUPS, ROWS = 40, 500


@pytest.fixture
def folder(tmp_path) -> Location:
    """A folder with a file of many row groups."""
    location = Location.of(tmp_path)
    values = [f"{place:06d}" for place in range(GROUPS * ROWS)]
    (location / "a.parquet").write_parquet(pa.table({"value": values}), row_group_size=ROWS)
    return location


def test_a_file_is_opened_as_often_as_threads_read_it_at_a_time(folder, monkeypatch):
    opened = []
    monkeypatch.setattr(ParquetReader, "_open", lambda reader, of=ParquetReader._open: opened.append(1) or of(reader))
    for group in range(5):
        open_parquet(folder, "a.parquet", "1").read_row_group(group, ["value"])
    assert len(opened) == 1
    both = Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            list(pool.map(lambda _: open_parquet(folder, "a.parquet", "1")._whole(lambda file: both.wait()), range(2)))
    assert len(opened) == 2


def test_a_file_that_was_overwritten_is_opened_anew(folder):
    before = open_parquet(folder, "a.parquet", "1")
    (folder / "a.parquet").write_parquet(pa.table({"value": ["new"]}))
    after = open_parquet(folder, "a.parquet", "2")
    assert (before.metadata.num_rows, after.metadata.num_rows) == (GROUPS * ROWS, 1)
    assert after.read(["value"])["value"].to_pylist() == ["new"]


def test_threads_that_read_one_file_together_get_its_rows(folder):
    def first_and_last(group: int) -> tuple[str, str]:
        values = open_parquet(folder, "a.parquet", "1").read_row_group(group, ["value"])["value"]
        return values[0].as_py(), values[-1].as_py()

    groups = [group for _ in range(20) for group in range(GROUPS)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(first_and_last, groups))
    assert found == [(f"{ROWS * group:06d}", f"{ROWS * group + ROWS - 1:06d}") for group in groups]


def test_pieces_of_a_row_group_go_on_after_an_error_that_passes(folder, monkeypatch):
    plain, fails = pq.ParquetFile.iter_batches, [3]  # before the fourth piece, once

    def iter_batches(file, *args, **options):
        for place, batch in enumerate(plain(file, *args, **options)):
            if fails == [place]:
                fails.clear()
                raise OSError("AWS Error SLOW_DOWN during GetObject operation")
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    pieces = list(open_parquet(folder, "a.parquet", "1").pieces(2, "value", 70))
    assert fails == []
    assert [len(piece) for piece in pieces] == [70] * 7 + [10]
    assert pa.chunked_array(pieces).to_pylist() == [f"{place:06d}" for place in range(2 * ROWS, 3 * ROWS)]


class OpenKeys(pe.KmsClient):
    """Keys that are not kept secret."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        return base64.b64encode(key_bytes).decode()


@pytest.mark.parametrize("plain_footer", [False, True])
def test_an_encrypted_file_is_no_damaged_one(tmp_path, plain_footer):
    how = pe.EncryptionConfiguration(footer_key="key", column_keys={"key": ["id"]}, plaintext_footer=plain_footer)
    properties = pe.CryptoFactory(lambda _: OpenKeys()).file_encryption_properties(pe.KmsConnectionConfig(), how)
    table = pa.table({"id": [0], "value": [[1.0, 2.0]]})
    with pq.ParquetWriter(tmp_path / "x.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(FileNotFoundError):
        ParquetReader(Location.of(tmp_path / "encrypted" / "y.parquet"))
    for read in (lambda place: ParquetReader(place).read(), lambda place: EmbeddingFolder.open(str(place))):
        with pytest.raises(UserError, match=r"x\.parquet is encrypted; write it anew without encryption$"):
            read(Location.of(tmp_path / "x.parquet"))
