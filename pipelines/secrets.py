"""Keys and passwords in addresses: used as they are given, and stored or said only without them."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
IN_FRONT = (  # scheme://name:secret@host; an unencoded secret may hold / and @, that of a database ? and # too
    # Also a token alone; host:port/a@b has none.
    re.compile(r"(\bhttps?://)(?:[^\s/?#@:]+|[^\s/?#@:]*:(?:[^\s/?#]+|(?!\d+/)[^\s?#@\"']+))@"),
    re.compile(r"(\b(?:postgres|postgresql|mysql|mariadb|mssql|oracle)(?:\+\w+)?://)[^\s/?#@:]*:(?:[^\s/?#]+|[^\s@]+)@"),
    re.compile(r"(\b(?!https?://)[\w+.-]+://)[^\s/?#@:]*:(?:[^\s/?#]+|[^\s?#@\"']+)@"),
)
IN_QUERY = re.compile(
    r"(?i)((?<![\w-])(?:[\w-]*[_-])?(?:access_?key(?:_id)?|secret(?:_?key)?|account_?key|(?:ssl)?password|passwd|pwd|pass|"
    r"token|sig|signature|api_?key|credentials?|odbc_connect)=)[^&\s\"']+"
)


def hidden(text: str) -> str:
    """The text with each secret of an address in it replaced."""
    for pattern in IN_FRONT:
        text = pattern.sub(rf"\g<1>{MASK}:{MASK}@", text)
    return IN_QUERY.sub(rf"\g<1>{MASK}", text)


def without_secrets(value: Any) -> Any:
    """Nested plain values with the secrets of their texts replaced."""
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return hidden(value) if isinstance(value, str) else value


def is_hidden(text: str) -> bool:
    """Whether a stored address lacks its secret, which has to be given anew."""
    return f"{MASK}:{MASK}@" in text or f"={MASK}" in text
