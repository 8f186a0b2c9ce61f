"""Bars are data: a mistake in them is one sentence, and every command that they name can be run as it is written."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess

import pytest

from benchmarks.bars.bar import BARS_FILE, ROOT, Bar, chosen, load_bars
from pipelines.errors import UserError

GOOD = {"what": "'a thing'", "command": "echo", "unit": "s", "at_most": "2"}


def written(tmp_path, **keys: str):
    """A file of one bar, `speed`, with some keys set or, by None, left out."""
    lines = [f"  {key}: {value}" for key, value in (GOOD | keys).items() if value is not None]
    path = tmp_path / "bars.yaml"
    path.write_text("\n".join(["speed:", *lines]) + "\n")
    return path


def test_a_bar_is_read(tmp_path):
    bar = load_bars(written(tmp_path))["speed"]
    assert bar == Bar("speed", "a thing", "echo", "s", at_most=2)
    assert bar.bound == "<= 2 s"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"comand": "echo"}, "bar speed has an unknown key 'comand'; nearest valid name: command"),
        ({"command": None}, "bar speed lacks the text of its key 'command'"),
        ({"command": "3"}, "bar speed lacks the text of its key 'command'"),
        ({"at_least": "1"}, "bar speed needs at_least or at_most, one of them"),
        ({"at_most": None}, "bar speed needs at_least or at_most, one of them"),
        ({"at_most": "few"}, "bar speed: at_most is 'few'; give a number"),
        ({"read": "wall", "unit": "MB"}, "bar speed reads a time; its unit is 'MB' and must be s or min"),
        ({"read": "no group"}, "bar speed: read is no figure, no wall and no regular expression with one group"),
        ({"read": "'(('"}, "bar speed: read is no figure, no wall and no regular expression with one group"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, keys, said):
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        load_bars(written(tmp_path, **keys))


@pytest.mark.parametrize("content", ["", "- a\n", "speed: fast\n", "speed: [\n", "\tspeed: 1\n"])
def test_a_file_that_is_no_table_of_bars_is_one_sentence(tmp_path, content):
    path = tmp_path / "bars.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_bars(path)
    assert "\n" not in str(caught.value)


def test_bars_are_chosen_by_name():
    bars = load_bars()
    assert [bar.name for bar in chosen(bars, ["stream", "help"])] == ["stream", "help"]
    assert chosen(bars, []) == list(bars.values())
    with pytest.raises(UserError, match="no bar is called 'steam'; nearest valid name: stream"):
        chosen(bars, ["steam"])


@pytest.mark.parametrize(
    ("bound", "value", "share"),
    [
        ({"at_least": 0.8}, 0.6, 0.75),
        ({"at_least": 0.8}, 0.8, 1.0),
        ({"at_most": 4}, 8, 0.5),
        ({"at_most": 4}, 2, 2.0),
        ({"at_most": 4}, -1, 1.0),
        ({"at_most": 0}, 0, 1.0),
        ({"at_most": 0}, 3, 0.0),
    ],
)
def test_the_share_of_a_bound_that_is_reached(bound, value, share):
    assert Bar("one", "", "", "x", **bound).share(value) == pytest.approx(share)


def test_a_bar_that_needs_what_is_not_there_says_what():
    assert Bar("one", "", "", "x", at_most=1, needs=["numpy", "no_such_module", "/no/such/folder", "/"]).missing() == [
        "no_such_module", "/no/such/folder",
    ]  # fmt: skip


@pytest.mark.parametrize("command", sorted({bar.command for bar in load_bars().values()}))
def test_every_command_names_what_there_is_and_its_options_are_understood(command):
    program, *words = shlex.split(command)
    if program == "make":
        assert subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, check=False).returncode == 0
        return
    assert [program, words.pop(0)] == ["python", "-m"]
    module = words.pop(0)
    assert importlib.util.find_spec(module), f"{BARS_FILE}: there is no module {module}"
    command_line = getattr(importlib.import_module(module), "command_line", None)
    if command_line is not None:
        command_line().parse_args(words)
