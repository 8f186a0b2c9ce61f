"""A node's versions against those of the command."""

from __future__ import annotations

import platform

import pytest
import ray

from pipelines.doctor.findings import State
from pipelines.doctor.on_node.versions import compare, reader


@pytest.fixture(scope="module")
def here():
    return reader()()


def test_what_is_read_is_what_is_installed(here):
    assert (here["python"], here["ray"]) == (platform.python_version(), ray.__version__)
    assert len(here["source"]) == 16


def test_a_node_like_this_one_has_no_fault(here):
    (found,) = compare(here, dict(here))
    assert found.state is State.FINE


@pytest.mark.parametrize(("name", "shown"), [("python", "Python"), ("ray", "Ray"), ("quorum", "Quorum"), ("torch", "torch")])
def test_another_version_is_a_fault_that_names_both(here, name, shown):
    (found,) = compare(here, here | {name: "0.0.7"})
    assert found.state is State.FAULT
    assert found.sentence.startswith(f"it has {shown} 0.0.7, this process {here[name]}; install the same {shown}")


def test_another_source_of_the_same_version_is_a_fault(here):
    (found,) = compare(here, here | {"source": "0" * 16})
    assert found.sentence.startswith(f"it has source of Quorum {'0' * 16}, this process {here['source']}")


def test_a_library_of_another_version_is_a_note_and_one_that_is_missing_a_fault(here):
    (found,) = compare(here, here | {"pillow": "1.0"})
    assert (found.state, found.said) == (State.NOTE, f"it has pillow 1.0 (here {here['pillow']})")
    (found,) = compare(here, here | {"timm": "none"})
    assert (found.state, found.said) == (State.FAULT, f"it has timm none (here {here['timm']})")
