"""What a storage of runs need not keep: shown, and deleted where it is wished: `clean`."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from quorum.arguments import checked
from quorum.notebook import facts

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.cleaning.waste import Waste

HOUR = 3600.0  # seconds


class Cleaning:
    """What may go from a storage, or has gone: what `clean` returns. In a notebook it shows the table.

    Args:
        path: of the storage.
        waste: what may go, or has gone.
        notes: what stays, a sentence each.
        deleted: whether it has gone.
    """

    path: str
    notes: list[str]
    deleted: bool

    def __init__(self, path: str, waste: list[Waste], notes: list[str], *, deleted: bool) -> None:
        from pipelines.secrets import hidden

        self.path, self.notes = hidden(path), [hidden(note) for note in notes]
        self._waste, self.deleted = waste, deleted

    @property
    def bytes(self) -> int:
        """That become free, or have become it."""
        return sum(one.bytes for one in self._waste)

    @property
    def table(self) -> pd.DataFrame:
        """A row a file or folder: what it is, its path below the storage, why it may go, and its bytes."""
        import pandas as pd

        rows = [(str(one.kind), one.path, one.why, one.bytes) for one in self._waste]
        return pd.DataFrame(rows, columns=["what", "path", "why", "bytes"])

    def __repr__(self) -> str:
        from pipelines.progress import in_bytes

        done = "deleted" if self.deleted else "may go"
        return f"Cleaning({self.path}: {len(self._waste)} files and folders, {in_bytes(self.bytes)}, {done})"

    def _repr_html_(self) -> str:
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return facts(repr(self), {}) + self.table.to_html(index=False) + (f"<ul>{listed}</ul>" if listed else "")


@checked
def clean(
    storage: str | Path, *, failed: bool = False, unfinished: bool = False, idle_hours: float = 24.0, yes: bool = False
) -> Cleaning:
    """Show what a storage of runs need not keep, and delete it where that is wished.

    Old checkpoints - not the best, the last, or one that another run or a model names - and what killed work has left.

    Args:
        storage: folder or URI of runs, or of one run.
        failed: also runs that failed.
        unfinished: also runs that were stopped or never ended, and begun folders; none can be gone on with then.
        idle_hours: a run without an end whose files changed since then may be at work, and stays.
        yes: delete it; without this nothing changes.

    Raises:
        UserError: where there is no folder.
        OSError: for a storage that refuses.
    """
    from pipelines.errors import UserError

    if not idle_hours >= 0:
        raise UserError(f"idle_hours is {idle_hours}; give 0 or more")
    if not str(storage).strip():
        raise UserError("storage is empty; give a folder or a URI of runs")
    from pipelines.cleaning.clean import carry_out, plan_cleaning

    plan = plan_cleaning(str(storage), failed=failed, unfinished=unfinished, idle_seconds=idle_hours * HOUR)
    if not yes:
        return Cleaning(str(plan.root), plan.waste, plan.notes, deleted=False)
    deleted, left = carry_out(plan)
    return Cleaning(str(plan.root), deleted, [*plan.notes, *left], deleted=True)
