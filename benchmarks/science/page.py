"""The page of the studies: a table stands in it between two marks, and is drawn anew there."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.errors import UserError

PAGE = Path("docs/science.md")
TABLE = re.compile(r"(?<=^<!-- table: )([\w-]+)( -->\n)(.*?)(?=^<!-- end -->$)", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"^<!-- (table: [\w-]+|end) -->$", re.MULTILINE)  # a line of its own


def tables_in(text: str) -> dict[str, str]:
    """The tables of a page by the names of their studies.

    Raises:
        UserError: for marks of which one is missing, or a study with two tables.
    """
    found = TABLE.findall(text)
    if 2 * len(found) != len(MARK.findall(text)):
        raise UserError("a table's mark is missing: it begins with <!-- table: STUDY --> and ends with <!-- end -->")
    names = [name for name, _, _ in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"the page has two tables of study {twice[0]}; leave out one")
    return {name: table for name, _, table in found}


def write_table(page: Path, study: str, table: str) -> None:
    """Put a table between its marks.

    Raises:
        UserError: for a page that has no place for it.
    """
    text = page.read_text()
    if study not in tables_in(text):
        raise UserError(f"{page} has no place for study {study}; write <!-- table: {study} --> and <!-- end --> where it belongs")
    page.write_text(TABLE.sub(lambda found: f"{found[1]}{found[2]}{table if found[1] == study else found[3]}", text))
