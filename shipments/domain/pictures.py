"""Pictures that people send: what is taken, and the hand that cleans them.

Reading a stranger's picture is not for a process that serves others: a room above does it in a process of its own
and says so here (`connect`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 5 * 1024 * 1024
# How each kind begins (PNG 1.2, 12.12; JPEG, ISO/IEC 10918-1, B.1; RIFF as WebP's container specification has it).
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"


class InvalidPicture(ValueError):
    """The bytes cannot be taken; the words are for whoever sent them."""


class CleanerUnavailable(Exception):
    """Nobody is there to clean a picture just now."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is kept: written anew from the dots of the one that was sent. `sha256` is of that one."""

    content: bytes
    media_type: str
    width: int
    height: int
    sha256: bytes


Cleaner = Callable[[bytes], Picture]
_cleaners: Final[list[Cleaner]] = []


def register_cleaner(cleaner: Cleaner) -> None:
    """Have the cleaner called for every picture. It raises NotAPicture or CannotClean."""
    _cleaners[:] = [cleaner]


def clean(raw: bytes) -> Picture:
    """Return the picture as it may be kept; raises NotAPicture or CannotClean."""
    if len(raw) > MAX_BYTES:
        raise InvalidPicture(f"It is larger than {MAX_BYTES:,} bytes.")
    if not is_supported_format(raw):
        raise InvalidPicture("It is no PNG, JPEG or WebP picture.")
    if not _cleaners:
        raise CleanerUnavailable("Nothing here reads pictures.")
    return _cleaners[0](raw)


def is_supported_format(raw: bytes) -> bool:
    """Tell, by how it begins, whether it may be a picture of a kind that is taken."""
    return raw.startswith((_PNG, _JPEG)) or (raw[:4] == b"RIFF" and raw[8:12] == b"WEBP")
