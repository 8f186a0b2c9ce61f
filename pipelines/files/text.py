"""Text of files as people and their tools save it."""

from __future__ import annotations

import codecs
import unicodedata


def composed(name: str) -> str:
    """A name with its letters composed (NFC): disks of Macs and archives made there write an accent as a letter of its own."""
    return unicodedata.normalize("NFC", name)


def decoded(content: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Excel's "Unicode text" is; without the mark that either may begin with.

    Raises:
        UnicodeDecodeError: for another encoding.
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")
