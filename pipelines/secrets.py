"""Keys and passwords in addresses: used as they are given, and stored or said only without them."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
IN_FRONT = re.compile(  # scheme://name:secret@host; an unencoded secret may hold / and @
    r"(?P<scheme>\b[\w+.-]+://)(?P<name>[^\s/?#@:]*):(?P<secret>[^\s/?#]+|(?!\d+/)[^\s?#@\"']+)@"
)
IN_QUERY = re.compile(
    r"(?i)(?P<key>\b(?:access_key(?:_id)?|secret_key|secret_access_key|session_(?:access_)?token|account_?key|sas_(?:access_)?token|password|passwd|(?:access_)?token|"
    r"sig|signature|api_key|credential)=)(?P<secret>[^&\s\"']+)"
)


def hidden(text: str) -> str:
    """The text with each secret of an address in it replaced."""
    text = IN_FRONT.sub(lambda found: f"{found['scheme']}{MASK}:{MASK}@", text)
    return IN_QUERY.sub(lambda found: f"{found['key']}{MASK}", text)


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
