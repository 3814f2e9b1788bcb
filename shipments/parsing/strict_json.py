"""Strict JSON (RFC 8259), restricted to what PostgreSQL can store. Pure, without Django.

Refused: nesting deeper than 32, more than 1 MiB, duplicate keys, NaN and Infinity, numbers out of range, NUL and
lone surrogates. Each error says which.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_DIGITS: Final = 4300

_STRINGS_AND_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)
_SUSPICIOUS_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD][89abAB])")


class InvalidJson(ValueError):
    """The text is not acceptable JSON; `code` names the reason for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JsonTooLarge(InvalidJson):
    """The text is larger than the limit."""


def loads(raw: bytes, *, max_bytes: int = MAX_BYTES, numbers_may_be_null: bool = False) -> Any:
    """Return the parsed value; raises InvalidJson or JsonTooLarge.

    With `numbers_may_be_null` NaN, Infinity and numbers that are too large are None instead of an error.
    """
    if len(raw) > max_bytes:
        raise JsonTooLarge("too_large", f"The body is larger than {max_bytes:,} bytes.")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidJson("encoding", f"The body is not UTF-8 (byte {error.start}).") from error
    _check_depth(raw)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_null_where_refused(_refuse_constant) if numbers_may_be_null else _refuse_constant,
            parse_float=_null_where_refused(_parse_float) if numbers_may_be_null else _parse_float,
            parse_int=_null_where_refused(_parse_int) if numbers_may_be_null else _parse_int,
        )
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise InvalidJson("malformed", message) from error
    if _SUSPICIOUS_ESCAPE.search(raw):
        _check_characters(value)
    return value


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _STRINGS_AND_BRACKETS.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidJson("too_deep", f"The body is nested deeper than {MAX_DEPTH} levels.")
        elif first in b"]}":
            depth -= 1


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise InvalidJson("duplicate_key", f"The key {key[:64]!a} stands twice in one object.")
        keys.add(key)
    return members


def _null_where_refused(parse: Callable[[str], float]) -> Callable[[str], float | None]:
    def parse_or_null(digits: str) -> float | None:
        with suppress(InvalidJson):
            return parse(digits)
        return None

    return parse_or_null


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson("not_a_number", f"{name} is not a JSON number.")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if number in {float("inf"), float("-inf")}:
        raise InvalidJson("number_too_large", f"The number {digits[:32]} is too large.")
    return number


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidJson("number_too_large", f"A number has more than {MAX_DIGITS:,} digits.")
    return int(digits)


def _check_characters(value: Any) -> None:
    """Raise InvalidJson for text that PostgreSQL cannot store. Recursive: `_check_depth` has bounded the depth."""
    if isinstance(value, str):
        for character in value:
            if character == "\0":
                raise InvalidJson("nul", "A text holds the character NUL (\\u0000).")
            if "\ud800" <= character <= "\udfff":
                raise InvalidJson("surrogate", f"A text holds half a character (\\u{ord(character):04x}).")
    elif isinstance(value, list):
        for each in value:
            _check_characters(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            _check_characters(key)
            _check_characters(each)
