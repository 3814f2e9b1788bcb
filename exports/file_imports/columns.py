"""The columns of an uploaded file: those of the report `shipments`, by label or name, and their cell parsers."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from exports.reports.definitions import SHIPMENTS
from shipments.domain import locodes, names, other_references
from shipments.intake import Place
from shipments.parsing import invisible_characters
from shipments.parsing import values as texts
from shipments.parsing.query_parameters import FieldError, InvalidFields, field_error
from shipments.parsing.values import InvalidValue

_PLACE: Final = re.compile(
    r"(?P<name>.{1,120}?)\s*\((?P<code>[A-Za-z]{2}|[A-Za-z]{2}\s?[A-Za-z0-9]{3})\)", re.DOTALL
)
_WHOLE: Final = re.compile(r"(\d{1,19})(?:\.0{1,10})?", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WITHOUT_ZONE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?", re.ASCII)
_SEPARATORS: Final = re.compile(r"[\s_\-]+")
_MAX_ERRORS: Final = 50
OTHER_REFERENCES: Final = ("po", "bol", "pro")
CellParser = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """The columns of a file: the field of each position, and the file's own header by field."""

    fields: tuple[str | None, ...]
    header: Mapping[str, str]

    def errors(self, errors: Sequence[FieldError]) -> list[dict[str, str]]:
        """Return the errors with the file's own column names."""
        return [
            {
                "column": self.header.get(each["field"], each["field"]),
                "code": each["code"],
                "message": each["message"],
            }
            for each in errors
        ]


def match_header(header: Sequence[str]) -> ColumnMap:
    """Match a header to fields by label or field name, ignoring case and separators.

    Raises InvalidFields with all unknown and duplicate columns, and where Reference is missing.
    """
    fields: list[str | None] = []
    header_by_field: dict[str, str] = {}
    errors: list[FieldError] = []
    for text in header:
        field_name = _FIELD_BY_LABEL.get(_normalize_label(text))
        fields.append(field_name)
        if text and field_name is None:
            available = (
                "" if any(each["code"] == "unknown_column" for each in errors) else f"; there are {_ALL_LABELS}"
            )
            message = f"There is no such column{available}."
            errors.append(field_error(text[:64], "unknown_column", message))
        elif field_name in header_by_field:
            message = f"This is the column {SHIPMENTS.columns[field_name or ''].label}, which the file already has."
            errors.append(field_error(text[:64], "duplicate_column", message))
        elif field_name:
            header_by_field[field_name] = text
    if "reference" not in header_by_field:
        errors.append(field_error("Reference", "missing_column", "A file needs the column Reference."))
    if errors:
        raise InvalidFields(errors[:_MAX_ERRORS])
    return ColumnMap(tuple(fields), header_by_field)


def _place(text: str) -> str | Place:
    """Parse `NLRTM`, `Rotterdam (NLRTM)` or `Depot 7 (NL)`; raises InvalidValue."""
    match = _PLACE.fullmatch(text)
    if match is None:
        code = locodes.normalize(text)
        if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}", code, re.ASCII):
            return code
        raise InvalidValue("Give a UN/LOCODE such as NLRTM, or a name with its code or country: Depot 7 (NL).")
    code = locodes.normalize(match["code"])
    locode = code if len(code) > 2 else None
    return Place(name=names.normalize(match["name"]), country=code[:2], locode=locode)


def _instant(text: str) -> datetime:
    """Parse a time: without an offset it is UTC, a date alone is its midnight. Raises InvalidValue."""
    if _DAY.fullmatch(text):
        return texts.instant(f"{text}T00:00:00Z")
    if _WITHOUT_ZONE.fullmatch(text):
        return texts.instant(f"{text}{'' if text.count(':') > 1 else ':00'}Z")
    if re.fullmatch(r"[\d.,]+", text):
        raise InvalidValue("This is a number; format the cell as a date, or write 2026-03-02T12:00:00Z.")
    return texts.instant(text).astimezone(UTC)


def _pieces(text: str) -> int:
    match = _WHOLE.fullmatch(text)
    return _COUNT(match[1] if match else text)


def _status(text: str) -> str:
    return text.lower().replace(" ", "_")[:40]


_COUNT: Final = texts.whole_number(0, texts.MAX_PIECES)
_NAME: Final = texts.normalized_text(120)
_OTHER: Final = texts.lines_up_to(other_references.MAX_LENGTH, other_references.MAX_VALUES)
# Numbers, of which a text may have two readings; and texts, in which a number may have lost digits.
AMOUNTS: Final = frozenset({"pieces", "weightKg", "volumeM3"})
IDENTIFIERS: Final = frozenset({"reference", *OTHER_REFERENCES})
TEXTS: Final = IDENTIFIERS | {"origin", "destination", "status", "driverName", "customer", "notes"}
# None: a read-only field. Its column is accepted and ignored, so that an export can be imported again.
CELL_PARSERS: Final[Mapping[str, CellParser | None]] = {
    "id": None,
    "reference": str,
    "origin": _place,
    "destination": _place,
    "status": _status,
    "driverId": texts.identifier,
    "driverName": _NAME,
    "driverPhone": None,
    "createdAt": None,
    "updatedAt": None,
    "customer": _NAME,
    "eta": _instant,
    "deliveredAt": None,
    "pieces": _pieces,
    "weightKg": texts.decimal_number(texts.WEIGHT_DIGITS),
    "plannedPickupAt": _instant,
    "plannedDeliveryAt": _instant,
    "volumeM3": texts.decimal_number(texts.VOLUME_DIGITS),
    "customerId": texts.identifier,
    "seq": None,
    "po": _OTHER,
    "bol": _OTHER,
    "pro": _OTHER,
    "flags": None,
    "notes": texts.text_up_to(texts.MAX_NOTES),
}
# The columns of the template file: those that are not ignored, in the order of an export.
TEMPLATE_FIELDS: Final = tuple(name for name in SHIPMENTS.columns if CELL_PARSERS[name])


def _normalize_label(text: str) -> str:
    return _SEPARATORS.sub("", invisible_characters.remove(text)).casefold()


_FIELD_BY_LABEL: Final[Mapping[str, str]] = {
    _normalize_label(text): name for name, column in SHIPMENTS.columns.items() for text in (name, column.label)
}
_ALL_LABELS: Final = ", ".join(column.label for column in SHIPMENTS.columns.values())
