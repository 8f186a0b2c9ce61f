"""What functions of the front door are given: numbers of numpy as any number, and a sentence for values of another type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import quorum
from quorum.arguments import checked
from quorum.settings import spread


class Result:
    def __init__(self, path: str = "somewhere") -> None:
        self.path = path


@checked
def does(
    place: str | Path | Result,
    to: str | Path | None = None,
    *,
    count: int | None = None,
    share: float = 0.5,
    wanted: bool = False,
    pick: Literal["near", "far"] = "near",
    several: int | Sequence[int] = 1,
    name: str | None = None,
    table: Mapping[str, Any] | None = None,
    **keys: Any,
) -> dict[str, Any]:
    """Return what it is given."""
    return {"place": place, "to": to, "count": count, "share": share, "pick": pick, "several": several} | keys


def test_numbers_of_numpy_are_numbers():
    given = does("here", count=np.int64(3), share=np.float32(0.25), wanted=np.bool_(True), several=np.int32(2))
    assert (given["count"], given["share"], given["several"]) == (3, 0.25, 2)
    assert [type(given[name]) for name in ("count", "share", "several")] == [int, float, int]
    for several in (np.array([5, 1]), [np.int64(5), 1], (np.int32(5), np.int8(1))):
        assert [(type(one), one) for one in does("here", several=several)["several"]] == [(int, 5), (int, 1)]


def test_paths_results_and_keys_of_a_configuration_pass():
    result, array = Result(), np.arange(3)
    assert does(result, Path("there"), share=1, key=array) == {
        "place": result, "to": Path("there"), "count": None, "share": 1, "pick": "near", "several": 1, "key": array,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "named", "words"),
    [
        (None, {}, "place is None; give a path"),
        ("", {}, "place is empty; give a path"),
        (3, {}, "place is 3; give a path"),
        ("here", {"to": ""}, "to is empty; give a path"),
        ("here", {"count": 1.5}, r"count is 1\.5; give a whole number"),
        ("here", {"count": "3"}, "count is '3'; give a whole number"),
        ("here", {"count": True}, "count is True; give a whole number"),
        ("here", {"count": 1 << 63}, r"count is 9223372036854775808; give a whole number below 2\^63"),
        ("here", {"share": ".9"}, r"share is '\.9'; give a number"),
        ("here", {"share": None}, "share is None; give a number"),
        ("here", {"wanted": "yes"}, "wanted is 'yes'; give true or false"),
        ("here", {"pick": 1}, "pick is 1; give a word"),
        ("here", {"name": 1}, "name is 1; give text"),
        ("here", {"several": None}, "several is None; give a whole number or a list"),
        ("here", {"several": 2.5}, r"several is 2\.5; give a whole number or a list"),
        ("here", {"several": "1,5"}, "several is '1,5'; give a whole number or a list"),
        ("here", {"several": {"1": 5}}, "several is {'1': 5}; give a whole number or a list"),
        ("here", {"table": [1]}, r"table is \[1\]; give a dictionary"),
        ("here", {"table": "dim=64"}, "table is 'dim=64'; give a dictionary"),
    ],
)
def test_what_has_another_type_is_a_sentence(place, named, words):
    with pytest.raises(quorum.UserError, match=words):
        does(place, **named)


@pytest.mark.parametrize("target", [["a", "b"], None, 5])
def test_each_of_several_arguments_is_checked(target):
    with pytest.raises(quorum.UserError, match=r"targets is .*; give a path or a Run"):
        quorum.compare("here", target)


def test_a_result_is_taken_by_its_place_whatever_made_it(tmp_path):
    result = Result(str(tmp_path / "none"))
    for call in (quorum.compare, quorum.evaluate, quorum.labels, lambda data: quorum.dedup(tmp_path, tmp_path / "to", data=data)):
        with pytest.raises(quorum.UserError) as refused:
            call(result)
        assert "Result object" not in str(refused.value)


def test_a_key_that_is_no_text_is_refused():
    with pytest.raises(quorum.UserError, match="1 is no key of a configuration; keys are text"):
        quorum.cluster(settings={1: 2})


def test_unknown_names_are_pythons_own_affair():
    with pytest.raises(TypeError, match="missing a required argument: 'place'"):
        does()


def test_what_a_disk_refuses_is_a_sentence(tmp_path):
    @checked
    def write(to: Path) -> None:
        to.write_text("x")

    (tmp_path / "file").write_text("x")
    with pytest.raises(quorum.UserError, match=r"file/below: Not a directory"):
        write(tmp_path / "file" / "below")


def test_keys_of_a_configuration_are_plain():
    given = {"num_clusters": np.int64(5), "levels": [np.int64(2), 3], "ratio": np.float64(0.5), "sizes": np.array([1, 2])}
    assert spread(given) == {"num_clusters": 5, "levels": [2, 3], "ratio": 0.5, "sizes": [1, 2]}


FUNCTIONS = [name for name in quorum._HOMES if name.islower() and name not in ("recipes",)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_front_door_is_checked(name):
    assert hasattr(getattr(quorum, name), "__wrapped__")


@pytest.mark.parametrize(
    "value", [np.ones((3, 2)), [1, 2], {"a": 1}, quorum, object()], ids=["array", "list", "mapping", "module", "object"]
)
def test_other_things_are_told_by_their_type(value):
    with pytest.raises(quorum.UserError, match=r"place is .*; give a path or a Result"):
        does(value)
