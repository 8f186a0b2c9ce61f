"""Methods are found by their place: a folder is all that a new one needs."""

from __future__ import annotations

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


def test_an_unknown_method_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"method\.name is 'proton'; nearest: protocon"):
        method_spec("proton")
    with pytest.raises(ValueError, match="choose one of coke, protocon, secu"):
        method_spec("x")
