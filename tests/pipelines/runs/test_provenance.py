"""What a run's numbers depend on, wherever the package is installed."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

import pytest

from pipelines.runs import provenance as module
from pipelines.runs.provenance import changes, provenance, source_hash


def test_package_source_order_pixels_and_libraries_are_named():
    found = provenance()
    assert found["torch"] == version("torch")
    assert {
        "quorum",
        "source",
        "order",
        "pixels",
        "torchvision",
        "kornia",
        "timm",
        "pillow",
        "numpy",
        "pyarrow",
        "ray",
    } <= found.keys()
    assert all(isinstance(value, str) and value for value in found.values())


def test_a_resumed_run_tells_what_has_changed_and_nothing_else():
    now = provenance()
    assert changes(now) == ""
    assert (
        changes(now | {"torch": "2.0.0", "order": "0", "python": "3.1"})
        == f"order 0 ({now['order']} now), torch 2.0.0 ({now['torch']} now)"
    )
    assert changes({"torch": now["torch"]}) == ""  # a run of version 0.1 kept less


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the package's files in another folder."""
    for room in ("algos", "quorum"):
        shutil.copytree(module.ROOT / room, tmp_path / "site" / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "site" / "quorum" / "data.csv").write_text("no source")
    monkeypatch.setattr(module, "ROOMS", ("algos", "quorum"))
    return tmp_path


def test_the_source_has_one_hash_wherever_it_is_and_another_when_it_changes(elsewhere, monkeypatch):
    here = source_hash()
    monkeypatch.setattr(module, "ROOT", elsewhere / "site")
    assert source_hash() == here
    (elsewhere / "site" / "algos" / "scores.py").write_text("changed")
    assert source_hash() != here


def git(folder, *words):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_the_packages_own_and_not_that_of_what_surrounds_it(elsewhere, monkeypatch):
    monkeypatch.setattr(module, "ROOT", elsewhere / "site")
    assert module._commit() == ""
    git(elsewhere, "init")
    git(elsewhere, "commit", "--allow-empty", "-m", "the user's own")
    assert module._commit() == ""
    git(elsewhere / "site", "init")
    git(elsewhere / "site", "commit", "--allow-empty", "-m", "ours")
    assert len(module._commit()) == 40
