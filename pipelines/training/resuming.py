"""Whether a run that is gone on with has the checkpoints that its journal tells of."""

from __future__ import annotations

from pipelines.errors import UserError
from pipelines.runs.run_folder import Run
from pipelines.tracking.figures import EPOCH
from pipelines.tracking.journal import entries_of
from pipelines.tracking.local_copy import stored_journal
from pipelines.words import tell

LATE = 1  # epochs that a journal may be ahead: an epoch is told of just before it is saved


def check_checkpoints(run: Run) -> None:
    """Refuse a run whose checkpoints are gone, and say of one whose newest ones are: without that it began again in silence.

    Raises:
        UserError: for a run that has ended epochs and has no checkpoint.
    """
    newest, entries = run.checkpoints.latest(), entries_of(stored_journal(run.location))
    told = max((int(entry["values"][EPOCH]) + 1 for entry in entries if EPOCH in entry.get("values", {})), default=0)
    if told <= (newest.epoch if newest else 0) + LATE:
        return
    if newest is None:
        raise UserError(
            f"{run.location} has ended {told} epochs by its journal, and {run.checkpoints.location} has no checkpoint; "
            "restore that folder, or start a run of another name"
        )
    tell(
        f"{run.location} has ended {told} epochs by its journal, and its newest checkpoint, {newest.file}, is of epoch "
        f"{newest.epoch}: it goes on from there; newer ones may be restored before"
    )
