"""What is wanted next is loaded while a process waits for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Thread

RECORD = ("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store")  # a second and a half


@contextmanager
def loading(*modules: str) -> Iterator[None]:
    """Modules are loaded beside the block, which ends when they are; one that cannot be loaded fails where it is used."""
    thread = Thread(target=_load, args=modules, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _load(*modules: str) -> None:
    for module in modules:
        with suppress(Exception):
            import_module(module)
