"""The digits of the pipelines' tests."""

from __future__ import annotations

from tests.pipelines.conftest import some_digits

__all__ = ["some_digits"]
