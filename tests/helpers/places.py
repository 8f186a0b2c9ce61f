"""Where things lie in the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "quorum" / "recipes"
COKE_DIGITS, PROTOCON_DIGITS, SECU_DIGITS = (str(RECIPES / f"{name}_digits.yaml") for name in ("coke", "protocon", "secu"))
