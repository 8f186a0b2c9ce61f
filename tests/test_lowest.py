"""What is declared, what is locked and what CI tests at the lowest are the same packages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.lowest import lowest, requirements

ROOT = Path(__file__).parents[1]


def test_a_requirement_becomes_its_lowest_version():
    assert lowest("numpy>=1.26") == "numpy==1.26"
    assert lowest("ray[data, train]>=2.55") == "ray[data,train]==2.55"


@pytest.mark.parametrize("requirement", ["numpy", "numpy>=1.26,<3", "numpy==2"])
def test_a_requirement_without_a_plain_lower_bound_is_refused(requirement):
    with pytest.raises(ValueError, match="numpy"):
        lowest(requirement)


def test_every_dependency_is_tested_at_its_lowest_and_locked_at_no_less():
    locked = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
    locked = {normal(name): version for name, version in locked.items()}
    bounds = {normal(re.split(r"[\[=]", one)[0]): re.split(r"==|;", one)[1] for one in requirements()}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(declared) <= len(bounds)
    for name, least in bounds.items():
        assert numbers(locked[name]) >= numbers(least), name


def test_the_lock_has_no_addresses():
    assert not re.search(r"://|@|--", (ROOT / "requirements.lock").read_text())


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    """The parts of a version that is all numbers."""
    return tuple(int(part) for part in version.split("."))
