"""Uploaded pictures: the accepted formats, and the registry of the cleaner that decodes and re-encodes them.

A process that serves requests must not decode untrusted pictures: an upper app does it in a sandboxed child process
and registers its function here (`register_cleaner`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 5 * 1024 * 1024
# The signatures of the formats (PNG 1.2, 12.12; JPEG: ISO/IEC 10918-1, B.1; WebP: RIFF container).
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"


class InvalidPicture(ValueError):
    """The bytes are not an acceptable picture; the message is for the client."""


class CleanerUnavailable(Exception):
    """No cleaner can run just now."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is stored, re-encoded from the pixels of the upload; `sha256` is that of the upload."""

    content: bytes
    media_type: str
    width: int
    height: int
    sha256: bytes


Cleaner = Callable[[bytes, str], Picture]
_cleaners: Final[list[Cleaner]] = []


def register_cleaner(cleaner: Cleaner) -> None:
    """Make `cleaner` the function that cleans every picture. It raises InvalidPicture or CleanerUnavailable."""
    _cleaners[:] = [cleaner]


def clean(raw: bytes, *, tenant: object = "") -> Picture:
    """Return the cleaned picture; raises InvalidPicture or CleanerUnavailable.

    `tenant`: the organisation, which has a share of the cleaners at most.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidPicture(f"It is larger than {MAX_BYTES:,} bytes.")
    if not is_supported_format(raw):
        raise InvalidPicture("It is no PNG, JPEG or WebP picture.")
    if not _cleaners:
        raise CleanerUnavailable("Nothing here reads pictures.")
    return _cleaners[0](raw, str(tenant))


def is_supported_format(raw: bytes) -> bool:
    """Tell by the signature whether the bytes may be a picture in an accepted format."""
    return raw.startswith((_PNG, _JPEG)) or (raw[:4] == b"RIFF" and raw[8:12] == b"WEBP")
