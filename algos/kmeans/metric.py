"""By what rows are compared: only by direction, or by distance; free of torch."""

from __future__ import annotations

from typing import Literal

Metric = Literal["cosine", "euclidean"]
