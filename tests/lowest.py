"""The lowest versions that pyproject.toml declares, as requirements for pip: `python tests/lowest.py > FILE`.

`make test-lowest` installs them and runs the quick tests with them, so that a bound is what works and not a guess.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
TOOLS = ("hypothesis", "psutil", "pytest", "pytest-timeout")  # of the dev extra, what those tests need
BOUND = re.compile(r"(?P<name>[\w.-]+)(?P<extras>\[[\w,-]+\])?>=(?P<version>[\w.]+)")


def lowest(requirement: str) -> str:
    """`name[extras]==version` of a requirement with a lower bound, for the machines that it is for.

    Raises:
        ValueError: for a requirement of any other form.
    """
    bound, semicolon, machines = requirement.partition(";")
    found = BOUND.fullmatch(bound.replace(" ", ""))
    if found is None:
        raise ValueError(f"{requirement!r} in pyproject.toml has no lower bound, or more than that")
    return f"{found['name']}{found['extras'] or ''}=={found['version']}{semicolon}{machines}"


def requirements() -> list[str]:
    """Every dependency of the project and the tools of its tests."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    tools = [one for one in project["optional-dependencies"]["dev"] if re.split(r"[>\[]", one)[0] in TOOLS]
    return [lowest(one) for one in [*project["dependencies"], *tools]]


if __name__ == "__main__":
    print("\n".join(requirements()))
