"""The files of a tar, in their order, read so that nothing is lost: it must go on to the zeros that end one."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pipelines.errors import UserError
from pipelines.files.storage_errors import as_damage


def members(file: IO[bytes], where: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """What a tar holds besides folders.

    Args:
        file: plain, or what unpacks it on the way.
        where: it lies, for errors.

    Raises:
        UserError: for a tar that is cut short or damaged.
    """
    with _damage_in_words(where), tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            if not member.isdir():
                yield tar, member
        file.seek(tar.offset)
        ends = _is_zeros_to_the_end(file)
    if not ends:  # tarfile takes a header that it cannot read, or one of zeros, for the end
        raise UserError(f"{where} is cut short or damaged: its files stop without the zeros that end a tar; fetch it again")


def content_of(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> bytes:
    """What a file of a tar holds, which lies as `where` says.

    Raises:
        UserError: for a tar that is cut short or damaged.
    """
    with _damage_in_words(where):
        file = tar.extractfile(member)
        return file.read() if file is not None else b""


@contextmanager
def _damage_in_words(where: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise as_damage(error, f"{where} is cut short, damaged or no tar") from error


def _is_zeros_to_the_end(file: IO[bytes]) -> bool:
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return False
    while block:
        if block.strip(b"\0"):
            return False
        block = file.read(tarfile.RECORDSIZE)
    return True
