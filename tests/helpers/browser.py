"""A real browser without a screen, where this machine has one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
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
