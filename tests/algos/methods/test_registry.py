"""Methods are found by their place: a folder is all that a new one needs."""

from __future__ import annotations

import importlib
import sys

import pytest

import algos.methods
from algos.methods.registry import method_spec, method_specs
from tests.helpers.runs.made_up_method import write_method


def test_each_folder_of_the_package_is_a_method():
    commands = {"coke": "pretrain", "protocon": "semisup", "secu": "pretrain"}
    assert {name: spec.command for name, spec in method_specs().items()} == commands
    assert all(spec.config_type().name == name for name, spec in method_specs().items())


def test_a_folder_on_the_path_is_a_method_too(tmp_path, monkeypatch):
    monkeypatch.setattr(algos.methods, "__path__", [*algos.methods.__path__, str(write_method(tmp_path))])
    try:
        assert method_spec("mean").clusters(None, 30) == [3]
    finally:
        for name in [name for name in sys.modules if name.startswith("algos.methods.made_up")]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (None, None),  # what several methods share, say
        ("", r"made_up\.spec holds no SPEC of a method \(module .* has no attribute 'SPEC'\); mend it"),
        ("SPEC = ", r"made_up\.spec holds no SPEC of a method \(invalid syntax"),
        ("SPEC = nothing()", r"made_up\.spec holds no SPEC of a method \(name 'nothing' is not defined"),
        ("import nothing_of_this_name", r"made_up\.spec holds no SPEC of a method \(No module named"),
        (
            "from algos.methods.coke.spec import CoKeSpec\nSPEC = CoKeSpec()",
            r"a method of the name 'coke', as another",
        ),
    ],
)
def test_a_folder_that_is_no_method_is_passed_over_and_one_that_is_wrong_is_named(tmp_path, monkeypatch, spec, said):
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "__init__.py").write_text("")
    if spec is not None:
        (tmp_path / "made_up" / "spec.py").write_text(spec)
    monkeypatch.setattr(algos.methods, "__path__", [*algos.methods.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    try:
        if said is None:
            assert list(method_specs()) == ["coke", "protocon", "secu"]
        else:
            with pytest.raises(ValueError, match=said):
                method_specs()
    finally:
        for name in [name for name in sys.modules if name.startswith("algos.methods.made_up")]:
            del sys.modules[name]


def test_an_unknown_method_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"method\.name is 'proton'; nearest: protocon"):
        method_spec("proton")
    with pytest.raises(ValueError, match="choose one of coke, protocon, secu"):
        method_spec("x")
