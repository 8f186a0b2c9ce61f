"""A thousand damaged files: each is read right, quarantined with its reason, or refused in one sentence."""

from __future__ import annotations

import random
import shutil
import traceback
import warnings
from collections import Counter

import pytest

from pipelines.errors import UserError
from tests.malformed.formats import FORMATS

QUICK, ALL = 6, 60  # damaged files of each format: in `make test`, and in `make test-all`
REFUSED = "refused"


def outcomes(name: str, cases: range, folder) -> tuple[Counter[str], list[str]]:
    """How many files were read, quarantined and refused, and what went wrong."""
    kind, found, wrong = FORMATS[name], Counter[str](), []
    (folder / "whole").mkdir()
    kind.write(folder / "whole")
    for case in cases:
        place = folder / f"case-{case}"
        shutil.copytree(folder / "whole", place)
        done = kind.damage(place, random.Random(f"{name} {case}"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # codecs warn of what they still read
                found[kind.judge(place)] += 1
        except UserError as error:
            found[REFUSED] += 1
            if "\n" in str(error) or len(str(error)) > 1000:
                wrong.append(f"{name} {case} ({done}): {error}")
        except Exception:  # whatever else is raised is what this looks for: each is told with its case, and fails the test
            wrong.append(f"{name} {case} ({done}): {''.join(traceback.format_exc().splitlines(keepends=True)[-3:])}")
        shutil.rmtree(place)
    return found, wrong


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_whole_is_read(name, tmp_path):
    (tmp_path / "whole").mkdir()
    FORMATS[name].write(tmp_path / "whole")
    assert FORMATS[name].judge(tmp_path / "whole") == "read"


@pytest.mark.parametrize("name", FORMATS)
def test_some_damaged_files_are_read_right_quarantined_or_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, wrong = outcomes(name, range(QUICK), tmp_path)
    assert wrong == []
    assert found.total() == QUICK


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_damaged_files_are_read_right_quarantined_or_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, wrong = outcomes(name, range(QUICK, ALL), tmp_path)
    assert wrong == []
    assert found.total() == ALL - QUICK
