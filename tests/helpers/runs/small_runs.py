"""A run of CoKe on the digits that takes seconds."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.places import COKE_DIGITS

RECIPE = COKE_DIGITS
SMALL = [
    "--views.large", "[{size: 8, scale: [0.6, 1.0], flip: 0.0, jitter: [0.2, 0.2, 0.0, 0.0]}]", "--method.label_weight", "1.0",
    "--backbone.name", "wrn-10-1", "--method.num_clusters", "[30, 20]",
    "--method.dim", "16", "--batch_size", "64", "--epochs", "4", "--checkpoint.every_steps", "7", "--checkpoint.keep_last", "50",
    "--monitor.log_steps", "5", "--monitor.picture_epochs", "2", "--compute.threads", "1",
    "--tracking.models", "none", "--tracking.system_seconds", "0",
]  # fmt: skip
STEPS = 1438 // 64


def words(digits: str, storage: Path, name: str, *more: str) -> list[str]:
    return ["--data", digits, "--storage", str(storage), "--name", name, *SMALL, *more]
