"""Writing a working copy with tasks on the whole cluster: what is there already is not written again."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipelines.datasets.embedding_folder import EMBEDDINGS_FORMAT, EMBEDDINGS_MANIFEST, EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.documents import read_document, write_document
from pipelines.files.location import Location
from pipelines.progress import in_bytes, progress
from pipelines.stream.parts import over_parts
from pipelines.working_copy.copy_plan import COLUMN, ID, CopyPlan, lot_name, part_name
from pipelines.working_copy.copy_tasks import TOO_LARGE, WHOLE, PartMaker, RowDealer

DEALT = "dealt"  # folder of what is removed once the parts stand
COPY_FORMAT = 1  # raised when the same vectors and seed give another copy


def cost(plan: CopyPlan) -> str:
    """What the copy takes, in words.

    Raises:
        UserError: where the disk has no room for it.
    """
    needed, place = 2 * plan.bytes, plan.location.parent
    if place.is_local and (free := _free(place)) < needed:
        raise UserError(
            f"a shuffled copy of {plan.original.place} needs {in_bytes(needed)} while it is written, {place} has "
            f"{in_bytes(free)} free; choose another place, or --copy never"
        )
    return (
        f"{plan.rows:,} rows are copied once, shuffled, to {plan.location}: {in_bytes(plan.bytes)}, while it is written twice "
        "that; removed at the end, unless --keep-copy"
    )


def write_copy(plan: CopyPlan) -> EmbeddingFolder:
    """The copy, written as far as it is not there yet.

    Raises:
        UserError: for a row of the original that has no direction, or is too large for the copy's numbers.
        RuntimeError: if a row was missed or came twice.
    """
    dealt = plan.location / DEALT
    _begin(plan)
    todo = [part for part in range(plan.parts) if part_name(part) not in {*plan.location.children()}]
    if todo:
        plan.location.delete_cut_off()
        dealt.make().delete_cut_off()
        _deal(plan, dealt)
        with progress("shuffle", plan.rows, "rows") as bar:
            bar.start_at(plan.rows - sum(map(plan.part_rows, todo)))
            for batch in over_parts(len(todo), PartMaker(plan, todo, dealt)):
                bar.advance(int(batch["rows"].sum()))
    dealt.delete_folder()
    copy = EmbeddingFolder.open(str(plan.location), COLUMN, ID)
    planned = plan.planned()
    if [file.row_groups for file in copy.shards] != [file.row_groups for file in planned.shards]:
        raise RuntimeError(f"{plan.location} has other row groups than were planned; remove it")
    return replace(copy, location=plan.location, finished=planned.finished, copy_of=planned.copy_of)


def _begin(plan: CopyPlan) -> None:
    """Say what the folder is to hold; what another plan left there goes."""
    manifest = plan.location / EMBEDDINGS_MANIFEST
    content: dict[str, Any] = {
        "rows": plan.rows, "copy_of": plan.original.fingerprint, "dtype": plan.dtype, "seed": plan.seed, "copy": COPY_FORMAT,
    }  # fmt: skip
    if manifest.exists():
        with suppress(UserError):  # of a damaged one, which is no plan any more
            found = read_document(manifest, EMBEDDINGS_FORMAT, "")
            if {key: found.get(key) for key in content} == content:
                return
    plan.location.delete_folder()
    plan.location.make()
    write_document(manifest, content, EMBEDDINGS_FORMAT)


def _deal(plan: CopyPlan, folder: Location) -> None:
    """Deal all rows that are not dealt yet."""
    done = frozenset(folder.children())
    todo = [span for span in plan.spans if any(lot_name(lot) not in done for lot in plan.lots(span))]
    if not todo:
        return
    rows = plan.rows - sum(span.rows for span in todo)
    with progress("copy", plan.rows, "rows") as bar:
        bar.start_at(rows)
        for batch in over_parts(len(todo), RowDealer(plan, todo, folder, done)):
            for fault, place in zip(batch["fault"].tolist(), batch["place"].tolist(), strict=True):
                if fault != WHOLE:
                    raise _too_large(plan, place) if fault == TOO_LARGE else plan.original.refusal(place)
            rows += int(batch["rows"].sum())
            bar.move_to(rows)
    if rows != plan.rows:
        raise RuntimeError(f"{rows} rows were dealt, {plan.rows} expected")


def _too_large(plan: CopyPlan, place: int) -> UserError:
    return UserError(f"{plan.original.row_name(place)} holds numbers too large for {plan.dtype}; set --copy-dtype float32")


def _free(folder: Location) -> int:
    """Bytes free on the disk that a local folder is on, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder.path).free
