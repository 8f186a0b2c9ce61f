"""Pickles of Python 2 and 3 are read, and nothing that a pickle names is ever called."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest

from pipelines.ingest.sources import safe_pickle as array_pickle
from tests.helpers.inputs.layouts import cifar10_files, python2_pickle

ARRAY = np.arange(24, dtype=np.uint8).reshape(4, 6)


class Attack:
    """Pickled, it is a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("write", [python2_pickle, lambda value: python2_pickle(value, 0), lambda value: pickle.dumps(value, 2)])
@pytest.mark.parametrize("array", [ARRAY, np.asfortranarray(ARRAY), ARRAY[:1]])
def test_arrays_and_containers_come_back(write, array):
    value = {b"data": array, b"labels": [1, 2], b"names": [b"x\xff'", b"y"], b"n": 7, b"part": (None, 1.5)}
    found = array_pickle.load(write(value))
    np.testing.assert_array_equal(found.pop(b"data"), array)
    assert found == {key: value[key] for key in (b"labels", b"names", b"n", b"part")}


@pytest.mark.parametrize("function", [os.system, exec, eval, open, pickle.loads, getattr, np.load, np.frombuffer, bytearray])
def test_a_name_that_no_array_needs_is_refused_by_name(function):
    content = pickle.dumps({b"data": Attack(function, b"x")}, 2)
    with pytest.raises(UnpicklingError, match=rf"{function.__name__}, which no data set needs"):
        array_pickle.load(content)


def test_an_attack_is_not_run(tmp_path: Path):
    content = pickle.dumps({b"data": Attack(os.mkdir, str(tmp_path / "made"))}, 2)
    with pytest.raises(UnpicklingError, match="may be an attack"):
        array_pickle.load(content)
    assert not (tmp_path / "made").exists()
    pickle.loads(content)
    assert (tmp_path / "made").exists()  # as it would have been


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros(3, np.int8), np.array([{}], dtype=object)])
def test_arrays_of_anything_but_bytes_are_refused(array):
    with pytest.raises(UnpicklingError, match="instead of bytes"):
        array_pickle.load(pickle.dumps({b"data": array}, 2))


def test_what_is_no_dictionary_is_refused():
    with pytest.raises(UnpicklingError, match="list instead of a dictionary"):
        array_pickle.load(pickle.dumps([1], 2))


def test_any_damage_is_an_unpickling_error_or_a_dictionary():
    content = cifar10_files(2)["cifar-10-batches-py/data_batch_1"]
    ends = [i for i in range(len(content)) if i < 150 or i > len(content) - 300]
    damaged = [content[:i] for i in ends]
    generator = np.random.default_rng(0)
    for _ in range(1500):
        bytes_ = np.frombuffer(content, np.uint8).copy()
        where = generator.choice(ends, 3)
        bytes_[where] = generator.integers(0, 256, 3)
        damaged.append(bytes_.tobytes())
    refused = 0
    for one in damaged:
        try:
            assert isinstance(array_pickle.load(one), dict)
        except UnpicklingError:
            refused += 1
    assert refused > len(ends)
