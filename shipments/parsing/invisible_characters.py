"""Invisible characters that programs leave in texts: byte order marks, zero-width spaces, marks of direction."""

import re
from typing import Final

# Joiners are left out: some scripts, and emoji, need them within words.
_INVISIBLE: Final = "\\u00ad\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u2069\\ufeff"
_CONTROL: Final = "\\u0000-\\u0008\\u000e-\\u001f\\u007f-\\u009f"
_ANY: Final = re.compile(f"[{_INVISIBLE}]")
_ANY_OR_CONTROL: Final = re.compile(f"[{_INVISIBLE}{_CONTROL}]")
_AT_ENDS: Final = re.compile(rf"\A[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+\Z")


def trim(text: str) -> str:
    """Return the text without white space and invisible characters at its ends."""
    stripped = text.strip()
    return stripped if stripped.isascii() else _AT_ENDS.sub("", stripped)


def remove(text: str) -> str:
    """Return the text without invisible characters."""
    return text if text.isascii() else _ANY.sub("", text)


def find(text: str) -> str | None:
    """Return the first invisible or control character of the text, None where it has none."""
    found = _ANY_OR_CONTROL.search(text)
    return found[0] if found else None
