"""A folder whose files are made one after another: work that was killed goes on in it, other work is refused.

It is for whoever has the turn to write the folder (`pipelines.files.one_writer`): only then is what is half written a leftover.
"""

from __future__ import annotations

import json
from typing import Any

from pipelines.errors import UserError
from pipelines.files.documents import read_document, write_document
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE

BEGUN, BEGUN_FORMAT = "_begun.json", 1  # what the files follow from, until all are there


def may_take(folder: Location, plan: dict[str, Any], done: str) -> bool:
    """Whether files of the same plan may be there already; a folder that is empty or absent holds none.

    Args:
        folder: for the files.
        plan: plain values, all that the files follow from.
        done: name of the file that is written last.

    Raises:
        UserError: for a folder that is finished, was begun with another plan, or holds something else.
    """
    if folder.is_file():
        raise UserError(f"--to {folder} is a file; choose a folder")
    there = {*folder.children()} - {*folder.cut_off(), NOTE}
    if done in there:
        raise UserError(f"{folder} is finished; choose another folder for --to")
    if BEGUN in there:
        began = read_document(folder / BEGUN, BEGUN_FORMAT, "empty the folder")
        now = json.loads(json.dumps(plan))  # as it is read back
        if changed := sorted(key for key in began.keys() | now.keys() if began.get(key) != now.get(key)):
            raise UserError(
                f"{folder} was begun with other {', '.join(changed)}; give the same again, choose another folder for --to, or "
                "empty it"
            )
        return True
    if there:
        raise UserError(f"{folder} is not empty; choose an empty or absent folder for --to")
    return False


def take(folder: Location, plan: dict[str, Any]) -> Location:
    """The folder, made where it was absent, with the plan in it, and without what writes into it left that were cut off."""
    folder.make().delete_cut_off()
    write_document(folder / BEGUN, plan, BEGUN_FORMAT)
    return folder


def finish(folder: Location, done: str, content: dict[str, Any], form: int) -> None:
    """Write the last file, in a format of that number."""
    write_document(folder / done, content, form)
    (folder / BEGUN).delete_file()
