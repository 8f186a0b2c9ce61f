"""Seeded damage: what disks, downloads, editors and attackers do to files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1 << 70, -3.5, 1e308, float("nan"), "", "0", "NaN", "../../etc/passwd", "a\nb", "\x00", "é" * 50,
    [], {}, [[]], {"": None},
]  # fmt: skip
ODD_BYTES = (
    b"\x00",
    b"\xff" * 16,
    b"<html><body>404</body></html>",
    b"\xef\xbb\xbf",
    b"version https://git-lfs.github.com/spec/v1\n",
)


def cut(draw: random.Random, content: bytes) -> bytes:
    """A download that ended early."""
    return content[: draw.randrange(len(content) or 1)]


def flip(draw: random.Random, content: bytes) -> bytes:
    """Some bits that turned on a disk."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8, 64])):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_head(draw: random.Random, content: bytes) -> bytes:
    """Bytes of the head that are others: where formats have their sizes and types."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 2, 4])):
        if changed:
            changed[draw.randrange(min(len(changed), 64))] = draw.randrange(256)
    return bytes(changed)


def zero(draw: random.Random, content: bytes) -> bytes:
    """A block that was never written."""
    start = draw.randrange(len(content) or 1)
    length = min(draw.choice([1, 16, 512, 4096]), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def repeat(draw: random.Random, content: bytes) -> bytes:
    """A block that came twice."""
    start = draw.randrange(len(content) or 1)
    end = min(start + draw.choice([1, 7, 512]), len(content))
    return content[:end] + content[start:end] + content[end:]


def drop(draw: random.Random, content: bytes) -> bytes:
    """A block that is missing."""
    start = draw.randrange(len(content) or 1)
    return content[:start] + content[start + draw.choice([1, 3, 512]) :]


def insert(draw: random.Random, content: bytes) -> bytes:
    """Bytes of something else in the middle, in front or at the end."""
    place = draw.choice([0, len(content), draw.randrange(len(content) or 1)])
    return content[:place] + draw.choice(ODD_BYTES) + content[place:]


def replace(draw: random.Random, content: bytes) -> bytes:
    """Something else altogether, or nothing."""
    return draw.choice([b"", *ODD_BYTES, draw.randbytes(200)])


BYTES: list[Mutation] = [cut, flip, flip, flip_head, zero, repeat, drop, insert, replace]


def lines(draw: random.Random, content: bytes) -> bytes:
    """Lines that are swapped, missing, doubled, or end as on another system."""
    parts = content.split(b"\n")
    place = draw.randrange(len(parts))
    kind = draw.randrange(5)
    if kind == 0:
        draw.shuffle(parts)
    elif kind == 1:
        del parts[place]
    elif kind == 2:
        parts.insert(place, parts[draw.randrange(len(parts))])
    elif kind == 3:
        parts[place] = draw.choice([b";", b",,,", b'"', b"\xff\xfe", b" " * 9, b"-1", b"\t" + parts[place]])
    return (b"\r\n" if kind == 4 else b"\n").join(parts)


TEXT: list[Mutation] = [*BYTES, lines, lines, lines]


def values(draw: random.Random, content: bytes) -> bytes:
    """A JSON value that is of another type, out of range, missing, or under another name."""
    tree = json.loads(content)
    spots = list(_spots(tree))
    if not spots:
        return content
    holder, key = draw.choice(spots)
    kind = draw.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    else:
        holder[key] = draw.choice(ODD_VALUES)
    return json.dumps(tree).encode()


def _spots(tree: Any) -> Any:
    """Every place of a value in nested dictionaries and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _spots(value)


JSON: list[Mutation] = [*TEXT, values, values, values, values, values, values]
