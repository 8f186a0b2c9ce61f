"""One threshold for all rows and all times.

Source: Sohn et al., "FixMatch: Simplifying Semi-supervised Learning with Consistency and Confidence", NeurIPS 2020, equation 4.
"""

from __future__ import annotations

from algos.methods.protocon.confidence.rule import ConfidenceRule, Evidence, Trust, from_threshold


class Fixed(ConfidenceRule):
    """A row counts from probability `threshold` on [tau]; nothing is learned."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def judge(self, rows: Evidence) -> Trust:
        """See `ConfidenceRule`."""
        confidence = rows.guesses.amax(dim=1)
        return from_threshold(confidence, confidence.new_full((), self.threshold))
