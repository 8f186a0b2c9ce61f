"""Sources on an object store, and through fsspec."""

from __future__ import annotations
