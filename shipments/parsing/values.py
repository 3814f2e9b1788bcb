"""Parsers of the API's texts in URLs, JSON and files: instants, ids, numbers, choices. Each raises InvalidValue."""

import re
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from shipments.domain import locodes, names

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SPACE_OF_OFFSET: Final = re.compile(r" (?=\d\d:\d\d$)", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WHOLE_NUMBER: Final = re.compile(r"\d{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(r"(?=\.?\d)0*(\d{0,12})(?:\.(\d{0,40}))?", re.ASCII)
# Times outside are typing errors, and psycopg cannot read all of them back from PostgreSQL.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

# Limits of a shipment's fields, in requests and in imported files.
MAX_NOTES: Final = 4000
MAX_PIECES: Final = 1_000_000
# Digits of a stored measure, three of them after the point.
WEIGHT_DIGITS: Final = 12
VOLUME_DIGITS: Final = 10


class InvalidValue(ValueError):
    """The text has no valid value; the message tells the client what is expected."""


def instant(text: str) -> datetime:
    """Return an RFC 3339 time with offset as UTC, from 1970 to 2200; raises InvalidValue."""
    if not _RFC3339.fullmatch(text):
        raise InvalidValue("Give a time as RFC 3339 with an offset, such as 2026-03-02T12:00:00Z.")
    try:
        at = datetime.fromisoformat(text.upper()[:11] + text[11:].upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidValue("There is no such time.") from error
    if not EARLIEST <= at < LATEST:
        raise InvalidValue("Give a time between the years 1970 and 2200.")
    return at


def query_instant(text: str) -> datetime:
    """Return the time of a query parameter: in a URL an unescaped `+` of the offset arrives as a space."""
    return instant(_SPACE_OF_OFFSET.sub("+", text))


def identifier(text: str) -> uuid.UUID:
    """Return a UUID in its usual form; raises InvalidValue."""
    if not _UUID.fullmatch(text):
        raise InvalidValue("This is not an id.")
    return uuid.UUID(text)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of a whole number between `low` and `high`, both included."""

    def read(text: str) -> int:
        number = int(text) if _WHOLE_NUMBER.fullmatch(text) else None
        if number is None or not low <= number <= high:
            raise InvalidValue(f"Give a whole number from {low:,} to {high:,}.")
        return number

    return read


def decimal_number(digits: int) -> Callable[[str], Decimal]:
    """Return the parser of a decimal number of at most `digits` digits, three of them after the point."""

    def read(text: str) -> Decimal:
        match = _DECIMAL.fullmatch(text)
        if not match or len(match[1]) > digits - 3 or len((match[2] or "").rstrip("0")) > 3:
            raise InvalidValue(f"Give a number below {10 ** (digits - 3):,} with at most three decimal places.")
        return Decimal(text)

    return read


def choice(options: Iterable[str]) -> Callable[[str], str]:
    """Return the parser of one of the options."""
    known = tuple(options)

    def read(text: str) -> str:
        if text not in known:
            raise InvalidValue(f"{text[:64]!r} is unknown; give one of {', '.join(known)}.")
        return text

    return read


def choice_list(options: Iterable[str]) -> Callable[[str], list[str]]:
    """Return the parser of one or several options, separated by commas."""
    read_choice = choice(options)

    def read(text: str) -> list[str]:
        return sorted({read_choice(part.strip()) for part in text.split(",")})

    return read


def text_up_to(length: int) -> Callable[[str], str]:
    """Return the parser of a text of 1 to `length` characters; spaces around it are removed."""
    return text_between(1, length)


def text_between(min_length: int, max_length: int) -> Callable[[str], str]:
    """Return the parser of a text of `min_length` to `max_length` characters; spaces around it are removed."""

    def read(text: str) -> str:
        stripped = text.strip()
        if not min_length <= len(stripped) <= max_length:
            raise InvalidValue(f"Give {min_length} to {max_length} characters.")
        return stripped

    return read


def name_or_identifier(length: int) -> Callable[[str], str]:
    """Return the parser of a text of at most `length` characters; a UUID comes out as Freight writes it."""
    read_text = text_up_to(length)

    def read(text: str) -> str:
        stripped = read_text(text)
        return stripped.lower() if _UUID.fullmatch(stripped) else stripped

    return read


def normalized_text(length: int) -> Callable[[str], str]:
    """Return the parser of a text of 1 to `length` characters, in the form in which names are stored."""
    read = text_up_to(length)
    return lambda text: read(names.normalize(text))


def lines_up_to(length: int, lines: int) -> Callable[[str], str]:
    """Return the parser of 1 to `lines` texts in a line each, normalized and of 1 to `length` characters."""

    def read(text: str) -> str:
        texts = [normalized for line in text.splitlines() if (normalized := names.normalize(line))]
        if not 1 <= len(texts) <= lines or max(map(len, texts)) > length:
            raise InvalidValue(f"Give 1 to {length} characters, or several texts in a line each.")
        return "\n".join(texts)

    return read


def locode(text: str) -> str:
    """Return a UN/LOCODE in upper case, two letters and three letters or digits; raises InvalidValue.

    The space after the country, with which UNECE prints it, is left out.
    """
    code = locodes.normalize(text)
    if not re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}", code, re.ASCII):
        raise InvalidValue("Give a UN/LOCODE such as NLRTM.")
    return code
