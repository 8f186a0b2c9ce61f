"""A folder of the user's own that is called as one of Quorum's packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.places import ROOT


def python(code: str, folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize("room", ["algos", "pipelines", "tune"])
def test_a_folder_that_hides_a_package_is_named_in_one_sentence(tmp_path, room):
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").write_text("")
    done = python("import quorum", tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f"ImportError: {tmp_path / room} hides Quorum's package {room!r} in {ROOT}; "
        "start Python in another folder, or rename yours"
    )


def test_the_command_works_beside_a_folder_of_such_a_name(tmp_path):
    for room in ("algos", "pipelines", "tune"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('not this one')")
    command = [sys.executable.replace("python", "quorum"), "recipes"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "coke_digits" in done.stdout
