"""The device, and a block in which the host may not wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.helpers.machines.needs import needs_gpu


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each test of this folder needs a GPU, and is skipped with that reason elsewhere."""
    item.add_marker(needs_gpu)


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The first GPU."""
    return torch.device("cuda", 0)


@pytest.fixture
def no_waiting() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Within the block any wait of the host for the device is an error."""

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return block


@pytest.fixture
def repeatable() -> Iterator[None]:
    """Convolutions give the same bits each time."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
        yield
