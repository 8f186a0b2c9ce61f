"""Bytes in words."""

from __future__ import annotations

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def in_words(count: float) -> str:
    """Such as `1.5 GB`."""
    for size, name in UNITS:
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:.0f} bytes"


def rate(count: float, seconds: float) -> str:
    """Such as `120 MB/s`."""
    return f"{in_words(count / max(seconds, 1e-6))}/s"
