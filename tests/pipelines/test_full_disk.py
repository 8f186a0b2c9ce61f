"""A real disk that fills at every kind of write: what was whole stays whole, and the user reads one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import choose_per_class
from pipelines.files.location import PARTIAL
from tests.helpers.machines.needs import needs_mounts
from tests.helpers.runs.killed_runs import cut_back, differing, final_state, learned, store_of
from tests.helpers.runs.small_runs import RECIPE, STEPS, words

pytestmark = [pytest.mark.ray, pytest.mark.slow, needs_mounts]

PROJECT = Path(__file__).parents[2]
Disk = Callable[[int], Path]


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """Makes a disk of so many kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(size: int) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)], check=True, capture_output=True)
        return folder

    yield make
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def fill(folder: Path) -> None:
    """Take all the room that is left."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))


def refused(*given: str) -> str:
    """What a command says that the disk refuses."""
    command = [sys.executable, "-m", "quorum", *given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=300, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert "No space left on device" in said.splitlines()[-1]
    return said


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(f"*{PARTIAL}"))


def test_shards(disk, digits):
    folder = disk(300)
    shutil.copytree(digits, folder / "whole")
    assert "cannot be written" in refused("ingest", "digits", "--to", str(folder / "data"))
    assert not (folder / "data" / "quorum.json").exists()
    assert Dataset.open(str(folder / "whole")).splits.keys() == {"train", "test"}
    assert leftovers(folder) == []


def test_labels_and_an_export(disk, digits, straight):
    folder = disk(400)
    choose_per_class(Dataset.open(digits), "train", 2, seed=1).save(str(folder / "few.json"))
    (folder / "backbone.safetensors").write_bytes(b"old")
    before = (folder / "few.json").read_text()
    fill(folder)
    refused("labels", "--data", digits, "--per-class", "4", "--to", str(folder / "few.json"))
    refused("export", str(straight), "--to", str(folder / "backbone.safetensors"), "--overwrite")
    assert ((folder / "few.json").read_text(), (folder / "backbone.safetensors").read_text()) == (before, "old")
    assert leftovers(folder) == []


def test_checkpoints_pictures_and_the_journal(disk, digits, tmp_path):
    folder = disk(3000)
    given = [*words(digits, folder, "run"), "--epochs", "60", "--monitor.picture_epochs", "1", "--checkpoint.keep_last", "500"]
    said = refused(
        "pretrain", "--config", RECIPE, *given, "--tracking.uri", f"sqlite:///{tmp_path}/mlflow.db", "--address", "local"
    )
    assert "mend the storage and go on with --resume" in said
    store = store_of(folder / "run")
    assert [store.load(entry)["step"] for entry in store.entries()] == [entry.step for entry in store.entries()]
    for picture in (folder / "run" / "pictures").glob("*.png"):
        Image.open(picture).load()
    assert leftovers(folder) == []


def test_the_files_of_labels_of_a_clustering(disk, clustered):
    folder = disk(600)
    copy = cut_back(clustered, folder / "run", 10_000, "labels", "clusters.json", "report.json")
    fill(folder)
    refused("cluster", "--resume", str(copy), "--address", "local")
    assert leftovers(folder) == []
    (folder / "filler").unlink()
    assert store_of(copy).latest() is not None


def test_what_waited_for_room_is_sent_with_the_next_resume(disk, straight, tmp_path):
    folder = disk(20000)
    copy = cut_back(straight, folder / "run", 2 * STEPS)
    fill(folder)
    refused("pretrain", "--resume", str(copy), "--address", "local")
    (folder / "filler").unlink()
    done = subprocess.run([sys.executable, "-m", "quorum", "pretrain", "--resume", str(copy), "--address", "local"], check=False)
    assert done.returncode == 0
    assert differing(learned(final_state(copy, 4)), learned(final_state(straight, 4))) == []
