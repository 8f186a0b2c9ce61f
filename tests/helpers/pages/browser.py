"""A real browser without a screen, where this machine has one."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.chaos.servers import Server

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
PATIENT = ("--virtual-time-budget=30000", "--window-size=1800,1600")  # the scripts of MLflow's pages ask the server
UNSEEN = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL)


def browse(address: str, *options: str) -> str:
    """What the browser says of a page."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", *options, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def page_made(address: str, *options: str) -> str:
    """A page after its scripts have run, as HTML."""
    return browse(address, "--dump-dom", *options)


def texts_of(html: str) -> list[str]:
    """What a page has to read."""
    return [line.strip() for line in re.sub(r"<[^>]+>", "\n", UNSEEN.sub("", html)).splitlines() if line.strip()]


def draw(address: str, picture: Path, *options: str) -> None:
    """Write a picture of a page."""
    browse(address, f"--screenshot={picture}", *options)


@contextmanager
def served(store: str, folder: Path) -> Iterator[str]:
    """Address of a server of MLflow that shows a copy of a store in SQLite."""
    with (
        closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as mine,
        closing(sqlite3.connect(folder / "mlflow.db")) as copy,
    ):
        mine.backup(copy)
    server = Server(folder)
    try:
        server.start()
        yield server.uri
    finally:
        server.remove()
