"""The figure that trials are ranked by: which is taken where none is named, and which none of them would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.errors import UserError, nearest
from pipelines.tracking import figures
from pipelines.tracking.old_figures import refuse_old


@dataclass(frozen=True)
class Scores:
    """What the trials of a sweep are scored by.

    Attributes:
        command: that they are runs of.
        split: whose images they are scored on; `None` where none has labels.
        every: epochs between two scores of each plain name, 0 for never.
        classifies: whether they guess labels.
    """

    command: str
    split: str | None
    every: Mapping[str, int]
    classifies: bool

    @property
    def usual(self) -> str:
        """The score that chooses a run's best checkpoint."""
        classified = self.every.get(figures.ACCURACY_EMA)
        return figures.score(self.split or figures.TEST, figures.ACCURACY_EMA if classified else figures.KNN)

    def check(self, metric: str) -> None:
        """Refuse a figure that no trial would have: it would show when all are trained.

        Raises:
            UserError: naming the nearest that they have, or what to set.
        """
        refuse_old(metric)
        if not figures.is_known(metric):
            raise UserError(f"metric {metric!r} is no figure of a run{nearest(metric, figures.known_names())}")
        section = metric.partition("/")[0]
        if section in (figures.EVALUATE, figures.UNTRAINED, figures.LABELS):
            raise UserError(f"metric {metric!r} is no figure of an epoch, by which trials are ranked; take one that is")
        if section == figures.PSEUDO_LABELS and not self.classifies:
            raise UserError(f"metric {metric!r} is no figure of quorum {self.command}, which has no labels to guess")
        if section in (figures.VAL, figures.TEST):
            self._check_score(metric)

    def _check_score(self, metric: str) -> None:
        section, _, name = metric.partition("/")
        if name not in self.every:
            near = nearest(metric, [figures.score(section, known) for known in self.every])
            raise UserError(f"metric {metric!r} is no score of quorum {self.command}{near}")
        if self.split is None or not self.every[name]:
            raise UserError(f"metric {metric!r} needs labels of a {section} split, and its monitor.*_epochs above 0")
        if section != self.split:
            other = figures.score(self.split, name)
            raise UserError(
                f"metric is {metric!r}, but trials are scored on {self.split}: take {other}, or set monitor.split to {section}"
            )
