"""What a node sees of a data set, against what the command sees."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.datasets.image_shards import SHARDS_MANIFEST
from pipelines.doctor.findings import Page, State
from pipelines.doctor.on_node.data_files import Expected, look_at_data
from pipelines.errors import UserError


@pytest.fixture
def digits(some_digits, tmp_path):
    """A copy of some digits, in three shards, that may be spoilt."""
    return shutil.copytree(some_digits.location.path, tmp_path / "digits")


def shards(folder):
    return sorted(folder.rglob("*.parquet"))


def test_a_node_that_sees_all_of_it_reads_and_decodes(digits):
    (found,) = look_at_data(Expected.of(str(digits)))
    assert found.state is State.FINE
    assert found.said.startswith(f"{len(shards(digits))} files, read ")
    assert found.said.endswith(" images/s a core")


def test_shards_that_are_missing_or_cut_short_are_counted_and_the_first_named(digits):
    expected = Expected.of(str(digits))
    first, second, *rest = shards(digits)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-9])
    (found,) = look_at_data(expected)
    assert (found.state, found.page) == (State.FAULT, Page.SHARDS)
    assert found.said == f"it does not see 2 of {2 + len(rest)} files of {digits} as they should be, first {first}"


def test_a_folder_with_another_data_set_or_none_is_told(digits):
    expected = Expected.of(str(digits))
    manifest = digits / SHARDS_MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert "is another data set" in look_at_data(expected)[0].said
    manifest.unlink()
    (found,) = look_at_data(expected)
    assert (found.page, found.said) == (Page.SHARDS, f"it sees no data set at {digits}")


def test_vectors_are_looked_at_too(tmp_path):
    for name in ("a", "b"):
        pq.write_table(pa.table({"embedding": list(np.ones((4, 2), np.float32))}), tmp_path / f"{name}.parquet")
    expected = Expected.of(str(tmp_path))
    assert look_at_data(expected)[0].said.startswith("2 files, read ")
    (tmp_path / "b.parquet").unlink()
    assert "1 of 2 files" in look_at_data(expected)[0].said


def test_a_file_that_is_no_parquet_is_no_data(tmp_path):
    for place in (tmp_path / "vectors", tmp_path / "folder" / "vectors.parquet"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("id,x\n")
        with pytest.raises(UserError, match=rf"{place} is damaged"):
            Expected.of(str(place if place.parent == tmp_path else place.parent))


def test_what_is_no_data_set_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"is no data set: .* run quorum ingest SOURCE --to"):
        Expected.of(str(tmp_path))
