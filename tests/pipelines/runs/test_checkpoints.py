"""Checkpoints: what is listed can be loaded, whatever dies and whatever the disk refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pyarrow.fs as pafs
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.cleaning.own_names import CHECKPOINT
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.checkpoints import INDEX, CheckpointStore


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(Location.of(tmp_path / "checkpoints"))


def save(store, step, score=None, size=10):
    return store.save({"weights": torch.full((size,), float(step))}, epoch=0, step=step, global_step=step, score=score)


def value(store, entry):
    return store.load(entry)["weights"][0].item()


def rewrite(store, entry, content):
    """Other content of the length that the index knows."""
    (store.location / entry.file).write_bytes(content.ljust(entry.bytes, b"\0")[: entry.bytes])


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_state_comes_back_with_its_types(tmp_path, kind):
    filesystem = pafs.LocalFileSystem() if kind == "local" else pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
    store = CheckpointStore(Location(filesystem, str(tmp_path / "checkpoints")))
    state = {"labels": torch.arange(5, dtype=torch.int32), "nested": {"lr": 0.1, "names": ["a", None], "on": True}}
    saved = store.save(state, epoch=2, step=7, global_step=27, score=0.5)
    assert store.latest() == saved
    assert (saved.epoch, saved.step, saved.global_step, saved.score) == (2, 7, 27, 0.5)
    for mapped in (False, True):
        loaded = store.load(store.latest(), mapped=mapped)
        assert torch.equal(loaded["labels"], state["labels"])
        assert loaded["labels"].dtype == torch.int32
        assert loaded["nested"] == state["nested"]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_state_that_stays_in_its_file_takes_no_memory_before_it_is_read(tmp_path, kind):
    filesystem = pafs.LocalFileSystem() if kind == "local" else pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
    store = CheckpointStore(Location(filesystem, str(tmp_path / "checkpoints")))
    save(store, 1, size=16 << 20)
    before = psutil.Process().memory_full_info().uss
    loaded = store.load(store.latest(), mapped=True)["weights"]
    assert psutil.Process().memory_full_info().uss - before < 16 << 20  # of 64 MB
    (store.location / store.latest().file).delete_file()
    assert loaded[:: 1 << 20].tolist() == [1.0] * 16


def test_an_empty_folder_has_no_checkpoint(store):
    assert store.entries() == []
    assert store.latest() is None
    assert store.best() is None


def test_another_runs_checkpoint_is_taken_over_as_the_only_one(store, tmp_path):
    other = CheckpointStore(Location.of(tmp_path / "other"))
    theirs = [save(other, step, size=20) for step in (1, 2)]
    for step in (2, 3):
        save(store, step)
    store.take_over(other, theirs[1])
    (taken,) = store.entries()
    assert replace(taken, file=theirs[1].file) == theirs[1]
    assert store.load(taken)["weights"].tolist() == [2.0] * 20
    assert store.location.children() == [INDEX, taken.file]
    assert len(other.entries()) == 2


def test_the_last_ones_and_the_best_are_kept_and_the_rest_deleted(store):
    for step, score in enumerate([0.1, 0.9, None, 0.5, 0.4, None]):
        save(store, step, score)
    assert [entry.global_step for entry in store.entries()] == [1, 4, 5]
    assert (store.latest().global_step, store.best().global_step) == (5, 1)
    assert [value(store, entry) for entry in store.entries()] == [1.0, 4.0, 5.0]
    assert store.location.children() == [INDEX, *(entry.file for entry in store.entries())]


def test_a_new_best_lets_go_of_the_old(store):
    for step, score in enumerate([0.9, 0.1, 0.2, 0.95, 0.3, 0.4]):
        save(store, step, score)
    assert [entry.global_step for entry in store.entries()] == [3, 4, 5]


@pytest.mark.parametrize("scores", [(-3.0, -1.0, -2.0), (-1.0, 0.0, -2.0)])
def test_the_best_of_scores_that_are_not_positive(store, scores):
    for step, score in enumerate(scores):
        save(store, step, score)
    assert store.best().global_step == 1


def test_without_scores_the_newest_is_best(store):
    save(store, 1)
    save(store, 2)
    assert store.best() == store.latest()


def test_a_step_saved_again_is_listed_once(store):
    save(store, 3, 0.1)
    save(store, 3, 0.2)
    assert [(entry.global_step, entry.score) for entry in store.entries()] == [(3, 0.2)]


def test_a_file_that_the_index_does_not_name_is_no_checkpoint(store):
    save(store, 1)
    (store.location / "step-000000002.pt").write_bytes(b"moved, but its process died before it was listed")
    (store.location / "step-000000003.pt.partial").write_bytes(b"half")
    assert [entry.global_step for entry in store.entries()] == [1]


def test_a_truncated_or_missing_file_is_refused_by_name(store):
    first, second = save(store, 1), save(store, 2)
    content = (store.location / first.file).read_bytes()
    (store.location / first.file).write_bytes(content[:-5])
    os.unlink((store.location / second.file).path)
    with pytest.raises(UserError, match=rf"{first.file} has {len(content) - 5} bytes, its index says {len(content)}"):
        store.load(first)
    with pytest.raises(UserError, match=rf"{second.file} has 0 bytes"):
        store.load(second)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"", b"PK\x03\x04 the head of a zip"])
def test_a_file_of_the_right_length_and_wrong_content_is_refused_by_name(store, content):
    entry = save(store, 1)
    rewrite(store, entry, content)
    for mapped in (False, True):
        with pytest.raises(UserError, match=entry.file):
            store.load(entry, mapped=mapped)


class Code:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize(
    ("state", "reason"), [({"format": 1, "hook": Code()}, "step"), ([1, 2], "step"), ({"format": 7}, "not of format 1")]
)
def test_a_file_of_others_is_refused_and_its_code_not_run(store, tmp_path, monkeypatch, state, reason):
    monkeypatch.chdir(tmp_path)
    save(store, 1)
    torch.save(state, tmp_path / "foreign.pt")
    content = (tmp_path / "foreign.pt").read_bytes()
    (store.location / "step-000000001.pt").write_bytes(content)
    index = (store.location / INDEX).read_json()
    del index["digest"]
    index["checkpoints"][0] |= {"bytes": len(content), "crc": None}
    (store.location / INDEX).write_json(index)
    for mapped in (False, True):
        with pytest.raises(UserError, match=reason):
            store.load(store.latest(), mapped=mapped)
    assert not (tmp_path / "executed").exists()


def test_an_index_of_another_format_is_refused(store):
    save(store, 1)
    (store.location / INDEX).write_json({"format": 2, "checkpoints": []})
    with pytest.raises(UserError, match="has format 2, this version reads 1"):
        store.entries()


def test_a_full_disk_is_said_and_costs_no_older_checkpoint(store, small_files):
    save(store, 1, size=1000)
    with small_files(1 << 18), pytest.raises(UserError, match=r"step-000000002\.pt could not be written .*--resume"):
        save(store, 2, size=1_000_000)
    assert [value(store, entry) for entry in store.entries()] == [1.0]
    save(store, 3, size=1000)
    assert value(store, store.latest()) == 3.0


def test_a_refused_checkpoint_leaves_nothing_on_the_full_disk(store, small_files):
    entry = save(store, 1)
    with small_files(1 << 18), pytest.raises(UserError):
        save(store, 2, size=1_000_000)
    assert store.location.children() == [INDEX, entry.file]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="could not be written"):
        save(CheckpointStore(Location.of(tmp_path / "file" / "checkpoints")), 1)


SAVE_FOREVER = """
import itertools, sys, torch
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore
torch.set_num_threads(1)
store = CheckpointStore(Location.of(sys.argv[1]))
for step in itertools.count():
    store.save({"weights": torch.full((500_000,), float(step))}, epoch=0, step=step, global_step=step, score=None)
"""


def test_a_process_killed_while_it_saves_leaves_only_checkpoints_that_load(store, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, store.location.path])
    deadline = time.monotonic() + 60
    while len(store.entries()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    entries = store.entries()
    assert len(entries) == 2
    assert [value(store, entry) for entry in entries] == [float(entry.global_step) for entry in entries]
    save(store, 10**6)
    assert value(store, store.latest()) == 10**6


def test_the_best_is_the_best_by_what_the_newest_score_is(tmp_path):
    store = CheckpointStore(Location.of(tmp_path), keep_last=1)
    for step, score, by in ((1, 0.9, "val/accuracy_ema"), (2, 0.5, "val/knn_top1"), (3, 0.4, "val/knn_top1"), (4, None, None)):
        store.save({"step": step}, epoch=step, step=0, global_step=step, score=score, scored_by=by)
    assert store.best().global_step == 2
    assert [entry.global_step for entry in store.entries()] == [2, 4]


def test_a_listed_file_stays_whole_until_the_index_names_another(store, monkeypatch):
    first = save(store, 3)
    other = CheckpointStore(store.location / "other")
    donor = save(other, 3)

    def die(entries):
        raise KeyboardInterrupt

    for write in (lambda: save(store, 3), lambda: store.take_over(other, donor)):
        with monkeypatch.context() as patch:
            patch.setattr(store, "_write_index", die)
            with pytest.raises(KeyboardInterrupt):
                write()
        assert store.entries() == [first]
        store.load(first)
        write()
        first = store.latest()
        assert value(store, first) == 3
        assert [name for name in store.location.children() if name.endswith(".pt")] == [first.file]


def test_what_is_set_aside_stays_whatever_becomes_of_the_list_until_two_later_ones_are(store):
    kept = []
    for step in (10, 20, 30, 40):
        kept.append(store.set_aside(save(store, step)))
        for later in (1, 2, 3):  # by which the list has dropped it
            save(store, step + later)
    assert [value(store, entry) for entry in kept[2:]] == [30.0, 40.0]
    names = store.location.children()
    assert [name for name in names if name.endswith("-0.pt")] == [entry.file for entry in kept[2:]]
    assert all(re.fullmatch(CHECKPOINT, entry.file) for entry in kept)  # so that quorum clean knows what a killed sweep leaves
    assert not any(name.endswith(".partial") for name in names)
    again = store.set_aside(store.latest())
    assert store.set_aside(store.latest()) == again
    store.drop_aside()
    assert store.location.children() == [INDEX, *(entry.file for entry in store.entries())]


def test_what_cannot_be_linked_is_set_aside_as_a_copy(store, monkeypatch):
    def refuse(*names: str) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    kept = store.set_aside(save(store, 1))
    (store.location / store.latest().file).delete_file()
    assert value(store, kept) == 1.0


def test_checkpoints_whose_index_was_lost_are_no_new_run(store):
    save(store, 1)
    os.unlink((store.location / INDEX).path)
    with pytest.raises(UserError, match=r"index\.json is missing, though 1 checkpoints are there: restore it"):
        store.latest()
