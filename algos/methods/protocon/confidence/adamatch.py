"""A threshold relative to the confidence in labelled rows.

Source: Berthelot et al., "AdaMatch: A Unified Approach to Semi-Supervised Learning and Domain Adaptation", ICLR 2022, section 3.
"""

from __future__ import annotations

from algos.methods.protocon.confidence.rule import ConfidenceRule, Evidence, Trust, from_threshold


class AdaMatch(ConfidenceRule):
    """A row counts from `threshold` [tau] times the mean confidence in the global batch's labelled rows on; no memory."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def judge(self, rows: Evidence) -> Trust:
        """See `ConfidenceRule`."""
        return from_threshold(rows.guesses.amax(dim=1), self.threshold * rows.labelled_confidence)
