"""Labels as people write them - numbers, names, nothing - as numbers of classes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from pipelines.datasets.label_lists import fraction_in
from pipelines.errors import UserError
from pipelines.files.text import composed

Value = int | float | Decimal | str | bool | None
UNKNOWN = ("", "-1", "-1.0", "nan", "null", "<na>", "n/a", "#n/a")  # in any case
AS_PANDAS = ("None", "NA")  # spelled so, which pandas and Python write for nothing; "none" may well be a class
NUMBER = re.compile(r"(0|[1-9][0-9]*)(\.0+)?")  # as one writes it, and as pandas does where some are missing: "007" is a name
NEGATIVE = re.compile(r"-[1-9][0-9]*(\.0+)?")
NO_CLASS = "which is no class; give the column of the classes with --label"
DENSE = 0.5  # share of the numbers up to the largest that must occur, for numbers to be those of classes


def classes_of(values: Sequence[Value], names: Sequence[str] | None, where: str) -> tuple[list[str], list[int | None]]:
    """Names of the classes, and the number of each value's class, `None` where it has none.

    Numbers that go from 0 are those of the classes; other numbers, and names, are numbered in their order.

    Args:
        values: one for each image: a number or a name; nothing, -1 or NaN where it is not known.
        names: of the classes by number, where the source says them.
        where: the values come from, for errors.

    Raises:
        UserError: for a number that is no class, and fractions.
    """
    names = None if names is None else [composed(name) for name in names]
    plain = [_plain(value, where, names or ()) for value in values]
    known = {value for value in plain if value is not None}
    if fraction := fraction_in(sorted(map(str, known))):
        raise UserError(f"{where} holds {fraction}, {NO_CLASS}")
    _refuse_negative(known, values, where)
    numbers = _numbers(known)
    if numbers is None and (number := next((value for value in known if isinstance(value, int)), None)) is not None:
        name = next(value for value in known if isinstance(value, str))
        raise UserError(f"{where} holds numbers ({number}) and names ({name!r}); write one kind")
    if names is not None and (numbers is None and known <= set(names)):
        if twice := sorted(name for name in {*names} & known if names.count(name) > 1):
            raise UserError(f"{where}: several classes are called {twice[0]!r}; write labels as the numbers of classes")
        places: dict[Value, int] = {name: place for place, name in enumerate(names)}
        return list(names), [None if value is None else places[value] for value in plain]
    if names is not None and numbers is not None:
        if bad := sorted(number for number in numbers if not 0 <= number < len(names)):
            raise UserError(f"{where}: label {bad[0]} is none of the {len(names)} classes that are named there")
        return list(names), [None if value is None else _as_number(value) for value in plain]
    if numbers is not None:
        return _numbered(plain, numbers)
    classes = sorted(str(value) for value in known)
    place = {name: index for index, name in enumerate(classes)}
    return classes, [None if value is None else place[str(value)] for value in plain]


def _refuse_negative(known: set[int | str], values: Sequence[Value], where: str) -> None:
    """Refuse numbers below -1, and -1 where it is a class by its place: -1 says that there is none."""
    negative = sorted((value for value in known if NEGATIVE.fullmatch(str(value))), key=str)
    others = known - {*negative}
    if negative and _numbers(others) is not None:
        raise UserError(
            f"{where} holds {negative[0]}; numbers of classes go from 0, and -1 or nothing says that there is none: "
            "write other numbers, or names"
        )
    if _numbers(known) == {1} and any(value in (-1, "-1", "-1.0") for value in values):
        raise UserError(f"{where} holds -1 and 1 alone, and -1 says that there is no class; write 0 and 1, or names")


def _numbered(plain: Sequence[int | str | None], numbers: set[int]) -> tuple[list[str], list[int | None]]:
    most = max(numbers, default=-1)
    if not numbers or (min(numbers) == 0 and len(numbers) >= DENSE * (most + 1)):
        return [str(number) for number in range(most + 1)], [None if value is None else _as_number(value) for value in plain]
    place = {number: index for index, number in enumerate(sorted(numbers))}
    return [str(number) for number in place], [None if value is None else place[_as_number(value)] for value in plain]


def _numbers(known: Iterable[int | str]) -> set[int] | None:
    """The values as whole numbers, where all are written so; else `None`."""
    if not all(isinstance(value, int) or _is_number(value) for value in known):
        return None
    return {_as_number(value) for value in known}


def _as_number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value.partition(".")[0])


def _is_number(value: str) -> bool:
    return NUMBER.fullmatch(value) is not None


def _plain(value: Value, where: str, names: Sequence[str]) -> int | str | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float | Decimal):
        if math.isnan(value) or value == -1:
            return None
        if value % 1:  # also of what is infinite
            raise UserError(f"{where} holds {value}, {NO_CLASS}")
        return int(value)
    if isinstance(value, int):
        return None if value == -1 else value
    text = "" if value is None else composed(value.strip())
    return None if (text.lower() in UNKNOWN or text in AS_PANDAS) and text not in names else text
