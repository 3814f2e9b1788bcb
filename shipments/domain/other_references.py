"""References of other parties to a shipment by name: purchase order, bill of lading. Pure, without Django.

The value of a name is a text or a list of texts. A change is merged as RFC 7396 says: names that it leaves out
stay, None removes a name.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from shipments.domain import names

Value = str | list[str]
MAX_NAMES: Final = 20
MAX_VALUES: Final = 20
MAX_LENGTH: Final = 64
NAME_PATTERN: Final = "[A-Za-z][A-Za-z0-9_]{0,31}"
_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)


class InvalidReferences(ValueError):
    """The references cannot be used; the message says why, and the code in one word."""

    def __init__(self, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.code = code


def is_valid_name(name: str) -> bool:
    """Tell whether this may be the name of a reference."""
    return _NAME.fullmatch(name) is not None


def parse(data: object) -> dict[str, Value | None]:
    """Return a change of references, its texts in their stored form. Raises InvalidReferences."""
    if not isinstance(data, dict):
        raise InvalidReferences("Give an object of short values.")
    if len(data) > 2 * MAX_NAMES:
        raise InvalidReferences(f"Give at most {MAX_NAMES} references.", "too_many")
    return {_parse_name(name): None if value is None else _parse_value(name, value) for name, value in data.items()}


def merge(stored: Mapping[str, Value], change: Mapping[str, Value | None]) -> dict[str, Value]:
    """Return the references after a change. Raises InvalidReferences where they are more than MAX_NAMES."""
    merged = {name: value for name, value in {**stored, **change}.items() if value is not None}
    if len(merged) > MAX_NAMES and len(merged) > len(stored):
        raise InvalidReferences(f"A shipment has at most {MAX_NAMES} references.", "too_many")
    return merged


def texts_of(value: Value) -> list[str]:
    """Return the texts of a value, one or several."""
    return [value] if isinstance(value, str) else value


def to_lines(value: Value) -> str:
    """Return a value as the cell of a file holds it: several texts in a line each."""
    return "\n".join(names.normalize(text) for text in texts_of(value))


def from_lines(cell: str) -> Value:
    """Return the value in the cell of a file, a list where it has several lines."""
    texts = [text for line in cell.splitlines() if (text := names.normalize(line))]
    return texts[0] if len(texts) == 1 else texts


def _parse_name(name: Any) -> str:
    if not is_valid_name(name):
        raise InvalidReferences(
            f"{name[:40]!a} is no name: 1–32 letters, digits and underscores, a letter first.", "name"
        )
    return str(name)


def _parse_value(name: str, value: object) -> Value:
    if isinstance(value, str):
        return _parse_text(name, value)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
        raise InvalidReferences(f"{name} must be a text, a list of 1 to {MAX_VALUES} texts, or null.", "value")
    return list(dict.fromkeys(_parse_text(name, each) for each in value))


def _parse_text(name: str, text: object) -> str:
    stored = names.normalize(text) if isinstance(text, str) else ""
    if not 1 <= len(stored) <= MAX_LENGTH:
        raise InvalidReferences(f"{name} must be a text of 1 to {MAX_LENGTH} characters.", "value")
    return stored
