"""Writing a copy with a real Ray: it goes on where it was, gives the same bits, and goes when it is not needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST
from pipelines.datasets.vector_column import RowForm
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.stream.prefetch import Columns
from pipelines.working_copy import write_copy as writing
from pipelines.working_copy.copy_plan import CopyPlan
from pipelines.working_copy.copy_tasks import PartMaker, RowDealer
from pipelines.working_copy.write_copy import DEALT, cost, write_copy
from tests.helpers.inputs.copies import read_copy, small_plan, write_rows
from tests.helpers.machines.s3 import KEYS, S3Server

ROWS, DIM = 1000, 6


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    rows = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)
    return write_rows(tmp_path_factory.mktemp("copied") / "vectors", rows, (600, 400))


class KilledError(Exception):
    """What ends a job between two parts."""


def here(count: int, task: Any) -> Iterator[Columns]:
    """The tasks one after another, in this process."""
    return (told for number in range(count) for told in task({"id": np.array([number])}))


def times(plan: CopyPlan, folder: str = "") -> dict[str, int]:
    """When each file was written."""
    place = plan.location / folder if folder else plan.location
    return {name: os.stat(f"{place.path}/{name}").st_mtime_ns for name in place.children() if "." in name}


@pytest.mark.parametrize("killed_in", [RowDealer, PartMaker])
def test_a_copy_that_was_cut_off_goes_on_where_it_was_and_is_the_one_that_never_was(vectors, tmp_path, monkeypatch, killed_in):
    plan, straight = small_plan(vectors, tmp_path / "killed"), small_plan(vectors, tmp_path / "straight")

    def killed(count, task):
        for number, told in enumerate(here(count, task)):
            yield told
            if number == 2 and type(task) is killed_in:
                raise KilledError

    monkeypatch.setattr(writing, "over_parts", killed)
    with pytest.raises(KilledError):
        write_copy(plan)
    folder = DEALT if killed_in is RowDealer else ""
    before = times(plan, folder)
    assert len(before) == (3 if folder else 4)  # and what the folder is to hold
    monkeypatch.setattr(writing, "over_parts", here)
    if folder:
        with monkeypatch.context() as patch:
            patch.setattr(PartMaker, "_make", full)  # so that what is dealt can be looked at
            with pytest.raises(OSError, match="full"):
                write_copy(plan)
    else:
        write_copy(plan)
    after = times(plan, folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == (len(list(plan.all_lots)) if folder else plan.parts + 1)
    for each in (plan, straight):
        write_copy(each)
    for mine, theirs in zip(read_copy(straight), read_copy(plan), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def full(*_: object) -> int:
    """A disk that has no room."""
    raise OSError("the disk is full")


@pytest.mark.ray
def test_tasks_of_ray_give_what_one_process_gives(local_ray, vectors, tmp_path, monkeypatch):
    spread, alone = small_plan(vectors, tmp_path / "spread"), small_plan(vectors, tmp_path / "alone")
    copy = write_copy(spread)
    assert (copy.rows, copy.finished, (spread.location / DEALT).exists()) == (ROWS, True, False)
    monkeypatch.setattr(writing, "over_parts", here)
    write_copy(alone)
    for mine, theirs in zip(read_copy(spread), read_copy(alone), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    spread.location.delete_folder()
    spread.location.delete_folder()
    assert not spread.location.exists()


def test_what_another_plan_left_is_not_taken_for_the_copy(vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "over_parts", here)
    write_copy(small_plan(vectors, tmp_path / "copy"))
    other = small_plan(vectors, tmp_path / "copy", seed=4)
    write_copy(other)
    fresh = small_plan(vectors, tmp_path / "fresh", seed=4)
    write_copy(fresh)
    for mine, theirs in zip(read_copy(other), read_copy(fresh), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("damage", [b"", b"[1]", b'{"rows": 1}'])
def test_a_copy_whose_plan_is_damaged_is_begun_again(vectors, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(writing, "over_parts", here)
    plan = small_plan(vectors, tmp_path / "copy")
    write_copy(plan)
    whole = read_copy(plan)
    (plan.location / EMBEDDINGS_MANIFEST).write_bytes(damage)
    write_copy(plan)
    for mine, theirs in zip(read_copy(plan), whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_bad_row_is_refused_by_its_place_in_the_original(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "over_parts", here)
    rows = np.ones((ROWS, DIM), np.float32)
    rows[911] = 0
    with pytest.raises(UserError, match=r"row 311 of .*1\.parquet has no direction"):
        write_copy(small_plan(write_rows(tmp_path / "v", rows, (600, 400)), tmp_path / "copy"))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_euclidean_copy_holds_the_numbers_as_they_were_stored_and_names_rows_of_the_original(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(writing, "over_parts", here)
    rows = (1e6 + np.random.default_rng(0).normal(size=(ROWS, DIM))).astype(kind)
    rows[700] = 1e30
    vectors = write_rows(tmp_path / "v", rows, (600, 400))
    plan = CopyPlan.of(vectors, Location.of(tmp_path / "copy"), "float32", 3, "euclidean")
    plan = replace(plan, part_bytes=128 * plan.row_bytes, group_bytes=20 * plan.row_bytes, block_rows=100)
    copy = write_copy(plan)
    found, places = read_copy(plan)
    np.testing.assert_array_equal(found[np.argsort(places)], rows)
    assert found.dtype == kind
    form = RowForm("euclidean", (1e6,) * DIM)
    place = int(np.flatnonzero(places == 700)[0])
    refusal = str(copy.in_form(form).refusal(place))
    assert refusal == str(vectors.in_form(form).refusal(700))
    assert refusal.startswith(f"row 100 of {tmp_path / 'v'}/1.parquet")


def test_a_copy_may_lie_on_an_object_store(vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "over_parts", here)
    server = S3Server()
    try:
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        there, on_disk = small_plan(vectors, server.uri("runs/a/working-copy")), small_plan(vectors, tmp_path / "here")
        copy = write_copy(there)
        write_copy(on_disk)
        for mine, theirs in zip(read_copy(on_disk), read_copy(there), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert copy.read(0, 0)[0].shape == (there.row_groups(0)[0], DIM)
        there.location.delete_folder()
        assert not there.location.exists()
    finally:
        server.close()


def test_the_cost_is_said_and_a_disk_without_room_refused_in_advance(vectors, tmp_path, monkeypatch):
    plan = small_plan(vectors, tmp_path / "run" / "copy")
    assert "1,000 rows are copied once, shuffled, to" in cost(plan)
    assert "32 kB" in cost(plan)  # 1000 rows of 6 float32 and an id
    assert "20 kB" in cost(replace(plan, dtype="float16"))
    monkeypatch.setattr(writing, "_free", lambda folder: 63_999)
    with pytest.raises(
        UserError, match=r"needs 64 kB while it is written, .*run has 64 kB free; choose another place, or --copy"
    ):
        cost(plan)
    monkeypatch.setattr(writing, "_free", lambda folder: 64_000)
    assert cost(plan)
    assert writing._free(plan.location) > 0
    assert not Path(plan.location.path).exists()
