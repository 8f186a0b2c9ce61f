"""The fixtures of the pipelines' tests serve here too."""

from __future__ import annotations

from tests.pipelines.conftest import some_digits

__all__ = ["some_digits"]
