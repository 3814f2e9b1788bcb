"""How the API's texts become values: instants, ids, numbers and lists out of URLs and JSON strings."""

import re
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from shipments.identifiers import REFERENCE

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WHOLE: Final = re.compile(r"\d{1,19}", re.ASCII)
_AMOUNT: Final = re.compile(r"(?=\.?\d)0*(\d{0,12})(?:\.(\d{0,40}))?", re.ASCII)
# Times outside are slips of a keyboard, and some could not be read back from PostgreSQL.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


# What can be said of a shipment, in a request and in a file.
MAX_NOTES: Final = 4000
MAX_PIECES: Final = 1_000_000
MAX_OTHER_REFERENCE: Final = 64
# The digits that are kept of a measure, three of them behind the point.
WEIGHT_DIGITS: Final = 12
VOLUME_DIGITS: Final = 10


class Unreadable(ValueError):
    """A text that stands for nothing; says what is asked for."""


def instant(text: str) -> datetime:
    """This will read an RFC 3339 time with its offset, from 1970 to 2200; raises Unreadable."""
    if not _INSTANT.fullmatch(text):
        raise Unreadable("Give a time as RFC 3339 with an offset, such as 2026-03-02T12:00:00Z.")
    try:
        at = datetime.fromisoformat(text.upper()[:11] + text[11:].upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("There is no such time.") from error
    if not EARLIEST <= at < LATEST:
        raise Unreadable("Give a time between the years 1970 and 2200.")
    return at


def identifier(text: str) -> uuid.UUID:
    """This will read an id; raises Unreadable."""
    if not _ID.fullmatch(text):
        raise Unreadable("This is not an id.")
    return uuid.UUID(text)


def whole(low: int, high: int) -> Callable[[str], int]:
    """This will return the reader of a whole number between `low` and `high`, both included."""

    def read(text: str) -> int:
        number = int(text) if _WHOLE.fullmatch(text) else None
        if number is None or not low <= number <= high:
            raise Unreadable(f"Give a whole number from {low:,} to {high:,}.")
        return number

    return read


def amount(digits: int) -> Callable[[str], Decimal]:
    """This will return the reader of a measure of at most so many digits, three of them behind the point."""

    def read(text: str) -> Decimal:
        found = _AMOUNT.fullmatch(text)
        if not found or len(found[1]) > digits - 3 or len((found[2] or "").rstrip("0")) > 3:
            raise Unreadable(f"Give a number below {10 ** (digits - 3):,} with at most three decimal places.")
        return Decimal(text)

    return read


def one_of(options: Iterable[str]) -> Callable[[str], str]:
    """This will return the reader of one of the words."""
    known = tuple(options)

    def read(text: str) -> str:
        if text not in known:
            raise Unreadable(f"{text[:64]!r} is unknown; give one of {', '.join(known)}.")
        return text

    return read


def some_of(options: Iterable[str]) -> Callable[[str], list[str]]:
    """This will return the reader of one or several of the words, separated by commas."""
    read_one = one_of(options)

    def read(text: str) -> list[str]:
        return sorted({read_one(part.strip()) for part in text.split(",")})

    return read


def up_to(length: int) -> Callable[[str], str]:
    """This will return the reader of a text with at most `length` characters, not empty, without spaces around."""
    return between(1, length)


def between(least: int, most: int) -> Callable[[str], str]:
    """This will return the reader of a text of so many characters, not counting spaces around."""

    def read(text: str) -> str:
        stripped = text.strip()
        if not least <= len(stripped) <= most:
            raise Unreadable(f"Give {least} to {most} characters.")
        return stripped

    return read


def locode(text: str) -> str:
    """This will read a UN/LOCODE in its form, two letters and three letters or digits; raises Unreadable."""
    if not re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}", text.upper(), re.ASCII):
        raise Unreadable("Give a UN/LOCODE such as NLRTM.")
    return text.upper()


def is_reference(text: str) -> bool:
    """This will tell whether the text has the form of a reference, reserved or not."""
    return REFERENCE.fullmatch(text) is not None
