"""Damaged footers: what pyarrow would end the process for is an error; sound ones, also of nested and empty columns, pass."""

from __future__ import annotations

import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, read_footer
from pipelines.files.sound_footer import sound_footer

LOOK = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq
from pipelines.files.sound_footer import sound_footer

for path in sys.argv[1:]:
    try:
        footer = sound_footer(pq.ParquetFile(path).metadata)
    except (OSError, pa.ArrowException, ValueError):
        print("refused")
        continue
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            chunk.statistics and chunk.statistics.has_min_max
            chunk.path_in_schema
            assert chunk.num_values >= footer.row_group(group).num_rows
    assert sum(footer.row_group(group).num_rows for group in range(footer.num_row_groups)) == footer.num_rows
    print("sound")
"""


@pytest.fixture
def table() -> pa.Table:
    rows = {"id": [1, 2, 3, 4], "image": [{"bytes": b"x", "path": "a"}] * 4, "text": ["p", None, "q", "r"]}
    return pa.table(rows | {"vector": pa.array([[0.5, 1.5]] * 4, pa.list_(pa.float32(), 2))})


def test_a_sound_footer_is_given_back(tmp_path, table):
    with pq.ParquetWriter(tmp_path / "x.parquet", table.schema) as writer:
        for part in (table, table.slice(0, 0), table.slice(2)):
            writer.write_table(part)
    footer = pq.ParquetFile(tmp_path / "x.parquet").metadata
    assert [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] == [4, 0, 2]
    assert sound_footer(footer) is footer
    assert read_footer(Location.of(tmp_path / "x.parquet"))[0].num_rows == 6


def test_no_damage_of_a_footer_ends_the_process(tmp_path, table):
    pq.write_table(table, tmp_path / "whole.parquet", row_group_size=2)
    whole, files = (tmp_path / "whole.parquet").read_bytes(), []
    start = len(whole) - 8 - pq.ParquetFile(tmp_path / "whole.parquet").metadata.serialized_size
    for case in range(1000):
        draw, content = random.Random(case), bytearray(whole)
        content[draw.randrange(start, len(whole) - 8)] ^= 1 << draw.randrange(8)
        files.append(tmp_path / f"{case}.parquet")
        files[-1].write_bytes(content)
    done = subprocess.run([sys.executable, "-c", LOOK, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert len(said) == 1000
    assert {"sound", "refused"} == set(said)


def test_a_reader_says_which_file_is_damaged(tmp_path, table):
    pq.write_table(table, tmp_path / "x.parquet")
    footer = pq.ParquetFile(tmp_path / "x.parquet").metadata.serialized_size
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    for place in range(len(content) - 8 - footer, len(content) - 8):
        content[place] ^= 255
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.parquet is damaged \(.*\); restore it, or make it again"):
        ParquetReader(Location.of(tmp_path / "x.parquet"))


def test_a_footer_with_a_name_that_is_no_text_is_damage_as_any_other(tmp_path, table):
    pq.write_table(table, tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(content.replace(b"vector", b"vect\xff\xff"))
    with pytest.raises(pa.ArrowInvalid, match="can't decode byte 0xff"):
        read_footer(Location.of(tmp_path / "x.parquet"))
