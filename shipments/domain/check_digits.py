"""Check digits of the trade's identifiers: container numbers, SSCC, ships' IMO numbers. Pure, without Django.

Sources: ISO 6346 (containers), GS1 General Specifications 7.9 (SSCC, modulo 10), IMO resolution A.1117(30) (ships).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

_SEPARATORS: Final = re.compile(r"[\s./-]+")
# 10 to 38 without the multiples of 11.
_LETTER_VALUES: Final = dict(
    zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (value for value in range(10, 39) if value % 11), strict=True)
)


class Identifier(NamedTuple):
    """A kind of identifier that ends with its check digit; `check_digit` computes it from what stands before."""

    title: str
    pattern: re.Pattern[str]
    check_digit: Callable[[str], int]


def _container_digit(text: str) -> int:
    values = (_LETTER_VALUES[each] if each.isalpha() else int(each) for each in text)
    return sum(value << place for place, value in enumerate(values)) % 11 % 10


def _sscc_digit(digits: str) -> int:
    total = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(reversed(digits)))
    return -total % 10


def _imo_digit(digits: str) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, range(7, 1, -1), strict=True)) % 10


_CONTAINER: Final = Identifier(
    "container number", re.compile(r"([A-Z]{3}[UJZR]\d{6})(\d)", re.ASCII), _container_digit
)
_SSCC: Final = Identifier("SSCC", re.compile(r"(?:00(?=\d{18}$))?(\d{17})(\d)", re.ASCII), _sscc_digit)
_IMO: Final = Identifier("IMO number", re.compile(r"(?:IMO)?(\d{6})(\d)", re.ASCII), _imo_digit)
# By the names under which references are given, in small letters and without underscores.
IDENTIFIER_OF_NAME: Final[Mapping[str, Identifier]] = {
    **dict.fromkeys(("container", "containers", "containernumber", "containerno", "equipment"), _CONTAINER),
    "sscc": _SSCC,
    **dict.fromkeys(("imo", "imonumber", "vesselimo"), _IMO),
}


def find_fault(name: str, text: str) -> str | None:
    """Return what is wrong with the identifier in a reference of this name, None for nothing or another name."""
    identifier = IDENTIFIER_OF_NAME.get(name.lower().replace("_", ""))
    if identifier is None:
        return None
    match = identifier.pattern.fullmatch(_SEPARATORS.sub("", text).upper())
    if match is None:
        return f"{text} has not the form of a {identifier.title}."
    expected = identifier.check_digit(match[1])
    if expected != int(match[2]):
        return f"{text} is no {identifier.title}: its check digit would be {expected}."
    return None
