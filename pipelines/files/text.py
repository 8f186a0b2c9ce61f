"""Text of files as people and their tools save it."""

from __future__ import annotations

import codecs
import re
import unicodedata


def composed(name: str) -> str:
    """A name with its letters composed (NFC): disks of Macs and archives made there write an accent as a letter of its own."""
    return unicodedata.normalize("NFC", name)


def plain_name(name: str) -> str:
    """A column's name by one spelling: `Image Name` is `image_name`."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def decoded(content: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Excel's "Unicode text" is; without the mark that either may begin with.

    Raises:
        UnicodeDecodeError: for another encoding, UTF-16 without its mark included, which has bytes of zero.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    text = content.decode("utf-8-sig")
    if (zero := content.find(b"\0")) >= 0:
        raise UnicodeDecodeError("utf-8", content, zero, zero + 1, "a byte of zero")
    return text
