"""Data sets of real digits that need no Ray, a run that was never stopped, and a disk that refuses large files."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.training.launch import train
from quorum.cli import main
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.inputs.lumps import options, write_lumps
from tests.helpers.pages.words import settings_of
from tests.helpers.runs.small_runs import RECIPE, words


@pytest.fixture(scope="session")
def some_digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """300 digits in three shards of two row groups each; read it, do not change it."""
    return write_digits(tmp_path_factory.mktemp("some") / "digits", 300, 140)


@pytest.fixture
def small_files() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """Within the block the kernel refuses to let any file grow beyond so many bytes, as a full disk does."""

    @contextlib.contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture(scope="session")
def lumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of vectors in lumps; read it, do not change it."""
    made = tmp_path_factory.mktemp("vectors") / "embeddings"
    write_lumps(made)
    return made


@pytest.fixture(scope="session")
def straight(digits, tmp_path_factory) -> Path:
    """A run that was never stopped, started with relative paths as the README does."""
    storage = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(storage)
        train(read_recipe(RECIPE, PretrainConfig, settings_of(words(os.path.relpath(digits), Path(), "straight"))))
    return storage / "straight"


@pytest.fixture(scope="session")
def clustered(local_ray, lumps, tmp_path_factory) -> Path:
    """A clustering by one worker that was never stopped, started from the command line."""
    to = tmp_path_factory.mktemp("clusters") / "straight"
    main(["cluster", str(lumps), "--to", str(to), *options()])
    return to
