"""The house is one that one finds one's way in."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.house import (
    CONFIGURATIONS,
    MOST_MODULES,
    arrows_up,
    circles,
    configuration_types,
    modules_of_folders,
    naming,
    read_modules,
)  # fmt: skip
from tests.helpers.places import ROOT

NAMED_BEFORE = {"training": 26, "clustering": 9}  # modules, as this script counts version 0.1


@pytest.fixture(scope="module")
def house():
    return read_modules(ROOT)


def test_no_folder_is_full():
    assert {folder: count for folder, count in modules_of_folders(ROOT).items() if count > MOST_MODULES} == {}


def test_no_modules_import_each_other_in_a_circle(house):
    assert circles(house) == []


def test_no_room_names_one_above_it(house):
    assert arrows_up(house) == []


@pytest.mark.parametrize("title", CONFIGURATIONS)
def test_a_third_fewer_modules_name_a_configuration_than_once(house, title):
    found = naming(house, CONFIGURATIONS[title])
    assert len(found) <= NAMED_BEFORE[title] * 2 / 3, found


@pytest.fixture
def small(tmp_path):
    """A house of a few rooms, by name and text of its modules."""

    def build(**texts):
        for name, text in texts.items():
            path = Path(tmp_path, *name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_modules(tmp_path)

    return build


def test_circles_and_arrows_are_seen_wherever_they_are(small):
    modules = small(
        algos__a="def late():\n    from algos.b import x\n",
        algos__b="try:\n    import algos.a\nexcept ImportError:\n    pass\n",
        pipelines__files__c="if TYPE_CHECKING:\n    from tune.d import y\n",
        tune__d="from pipelines.files.c import z\n",
        pipelines__stream__e="import tune.d\n",
    )
    assert circles(modules) == [["algos.a", "algos.b"]]
    assert arrows_up(modules) == ["pipelines.stream.e -> tune.d"]


def test_who_names_a_configuration(small):
    modules = small(
        pipelines__config__all="class Part: pass\nclass TrainingConfig:\n    part: Part\nclass Own(TrainingConfig): pass\n",
        pipelines__reads="from pipelines.config import all\ndef f(run):\n    return run.config.part.size\n",
        pipelines__other="def f(config):\n    return config.part\n",
        tune__typed="from pipelines.config.all import Part\n",
    )
    assert configuration_types(modules, "TrainingConfig") == ({"TrainingConfig", "Own", "Part"}, {"part"})
    assert naming(modules, "TrainingConfig") == ["pipelines.config.all", "pipelines.reads", "tune.typed"]
