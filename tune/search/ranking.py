"""The figure that trials are ranked by: which is taken where none is named, and which none of them would have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import UserError, nearest
from pipelines.tracking import figures
from pipelines.tracking.old_figures import refuse_old
from pipelines.words import counted

HEAD = re.compile(rf"{figures.CLUSTERS}/head(\d+)/")
NOT_OF_EPOCHS = (figures.EVALUATE, figures.UNTRAINED, figures.LABELS, figures.PARENTS, figures.QUALITY, figures.SYSTEM)


@dataclass(frozen=True)
class Scores:
    """What the trials of a sweep are scored by.

    Attributes:
        command: that they are runs of.
        split: whose images they are scored on; `None` where none has labels.
        names: plain names of the scores, the one that chooses checkpoints first.
        classifies: whether they guess labels.
        splits: of their data.
        observed: the split that figures of features are of, which need no labels; `None` where none are recorded.
        heads: of clusters.
    """

    command: str
    split: str | None
    names: Sequence[str]
    classifies: bool
    splits: Sequence[str]
    observed: str | None = None
    heads: int = 1

    @property
    def usual(self) -> str:
        """The score that chooses a run's best checkpoint.

        Raises:
            UserError: where there is none.
        """
        if self.split is None or not self.names:
            other = f"features/{self.observed}/rankme or train/epoch_loss" if self.observed else "train/epoch_loss"
            raise UserError(f"metric is missing, and no score is taken of these trials; name a figure, as {other}")
        return figures.score(self.split, self.names[0])

    def check(self, metric: str, *, reported: bool = False) -> None:
        """Refuse a figure that no trial would have: it would show when all are trained.

        Args:
            metric: the figure.
            reported: whether it must be one of an epoch's end, because a scheduler or a searcher decides by it meanwhile.

        Raises:
            UserError: naming the nearest that they have, or what to set.
        """
        refuse_old(metric)
        if not figures.is_known(metric):
            raise UserError(f"metric {metric!r} is no figure of a run{nearest(metric, figures.known_names())}")
        if metric in figures.OF_STEPS:
            raise UserError(f"metric {metric!r} is of the last monitor.log_steps steps; that of an epoch is {figures.EPOCH_LOSS}")
        section = metric.partition("/")[0]
        if section in NOT_OF_EPOCHS:
            raise UserError(f"metric {metric!r} is no figure of an epoch, by which trials are ranked; take one that is")
        if (head := HEAD.match(metric)) and int(head[1]) >= self.heads:
            raise UserError(f"metric is {metric!r}, but trials have {counted(self.heads, 'head')}, from head0 on")
        if section == figures.PSEUDO_LABELS and not self.classifies:
            raise UserError(f"metric {metric!r} is no figure of quorum {self.command}, which has no labels to guess")
        if section == figures.FEATURES:
            self._check_features(metric)
        elif section in (figures.VAL, figures.TEST):
            self._check_score(metric)
        elif reported and not figures.is_of_epoch_end(metric):
            raise UserError(
                f"metric {metric!r} is recorded beside the training, and scheduler and searcher do not see it; take another, "
                "as train/epoch_loss, or leave them out"
            )

    def _check_features(self, metric: str) -> None:
        _, split, name = metric.split("/")
        if self.observed is None:
            raise UserError(f"metric {metric!r} is not recorded; set monitor.feature_epochs above 0")
        if split != self.observed:
            raise UserError(
                f"metric is {metric!r}, but features are looked at on {self.observed}: take "
                f"{next(iter(figures.of_features({name: 0.0}, self.observed)))}"
            )

    def _check_score(self, metric: str) -> None:
        section, _, name = metric.partition("/")
        if name not in figures.SCORES or (name in figures.OF_CLASSIFIER and not self.classifies) or name == figures.LINEAR:
            near = nearest(metric, [figures.score(section, known) for known in self.names])
            raise UserError(f"metric {metric!r} is no score of quorum {self.command}{near}")
        if section not in self.splits:
            made = "; quorum ingest --val makes one" if section == figures.VAL else ""
            raise UserError(f"metric is {metric!r}, but the data have no {section} split{made}{self._other(name)}")
        if self.split is None or name not in self.names:
            raise UserError(f"metric {metric!r} needs labels of a {section} split, and its monitor.*_epochs above 0")
        if section != self.split:
            other = figures.score(self.split, name)
            raise UserError(
                f"metric is {metric!r}, but trials are scored on {self.split}: take {other}, or set monitor.split to {section}"
            )

    def _other(self, name: str) -> str:
        return f", or take {figures.score(self.split, name)}" if self.split and name in self.names else ""
