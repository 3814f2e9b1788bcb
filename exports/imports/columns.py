"""The columns of a file, those of the report `shipments`: found by label or name, and how their cells are read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from exports.tables import SHIPMENTS
from shipments import texts
from shipments.intake import Place, Wanted
from shipments.selectors.cells import FORMULA
from shipments.selectors.parameters import FieldError, Invalid, field_error
from shipments.texts import Unreadable

# What an export writes before a text that a spreadsheet would take for a formula.
_NEUTRALISED: Final = re.compile(FORMULA)
_PLACE: Final = re.compile(r"(?P<name>.{1,120}?)\s*\((?P<code>[A-Za-z]{2}|[A-Za-z]{2}[A-Za-z0-9]{3})\)", re.DOTALL)
_WHOLE: Final = re.compile(r"(\d{1,19})(?:\.0{1,10})?", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WITHOUT_ZONE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?", re.ASCII)
_APART: Final = re.compile(r"[\s_\-]+")
_MOST_NAMED: Final = 50
_OTHER_REFERENCES: Final = ("po", "bol", "pro")
Reader = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a file has: the field of each position, and the header as the file writes it."""

    fields: tuple[str | None, ...]
    header: Mapping[str, str]

    def errors(self, errors: Sequence[FieldError]) -> list[dict[str, str]]:
        """This will say of each error in which column of the file it is."""
        return [
            {
                "column": self.header.get(each["field"], each["field"]),
                "code": each["code"],
                "message": each["message"],
            }
            for each in errors
        ]


def find(header: Sequence[str]) -> Columns:
    """This will find the columns of a header by label or field, in any case; raises Invalid with all it refuses."""
    fields: list[str | None] = []
    named: dict[str, str] = {}
    errors: list[FieldError] = []
    for text in header:
        known = _KNOWN.get(_key(text))
        fields.append(known)
        if text and known is None:
            known_ones = "" if any(each["code"] == "unknown_column" for each in errors) else f"; there are {_ALL}"
            message = f"There is no such column{known_ones}."
            errors.append(field_error(text[:64], "unknown_column", message))
        elif known in named:
            message = f"This is the column {SHIPMENTS.columns[known or ''].label}, which stands there already."
            errors.append(field_error(text[:64], "duplicate_column", message))
        elif known:
            named[known] = text
    if "reference" not in named:
        errors.append(field_error("Reference", "missing_column", "A file needs the column Reference."))
    if errors:
        raise Invalid(errors[:_MOST_NAMED])
    return Columns(tuple(fields), named)


def wanted(number: int, cells: Sequence[str | None], columns: Columns, *, decimal_comma: bool) -> Wanted:
    """This will read one row; a cell that is empty says nothing."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    reference = ""
    for position, cell in enumerate(cells):
        name = columns.fields[position] if position < len(columns.fields) else None
        if cell is None:
            continue
        if name is None:
            errors.append(field_error("", "outside", f"A cell stands outside the columns: {cell[:40]!r}."))
        elif name == "reference":
            reference = turned_back(cell)[:200]
        elif reader := _READERS[name]:
            _take(values, errors, name, reader, _plain(name, turned_back(cell), decimal_comma=decimal_comma))
    if not reference:
        errors.append(field_error("reference", "required", "Every row needs a reference."))
    return Wanted(number, reference, values, errors)


def turned_back(cell: str) -> str:
    """This will take away the apostrophe by which an export keeps a spreadsheet from reckoning with a text."""
    return cell[1:] if cell.startswith("'") and _NEUTRALISED.match(cell) else cell


def _take(values: dict[str, Any], errors: list[FieldError], name: str, reader: Reader, text: str) -> None:
    try:
        value = reader(text)
    except Unreadable as error:
        errors.append(field_error(name, "invalid", str(error)))
        return
    if name in _OTHER_REFERENCES:
        values.setdefault("references", {})[name] = value
    else:
        values[name] = value


def _plain(name: str, text: str, *, decimal_comma: bool) -> str:
    if decimal_comma and name in {"weightKg", "volumeM3"} and "." not in text:
        return text.replace(",", ".", 1)
    return text


def _place(text: str) -> str | Place:
    """This will read `NLRTM`, `Rotterdam (NLRTM)` or `Depot 7 (NL)`."""
    found = _PLACE.fullmatch(text)
    if found is None:
        if re.fullmatch(r"[A-Za-z]{2}[A-Za-z0-9]{3}", text, re.ASCII):
            return text.upper()
        raise Unreadable("Give a UN/LOCODE such as NLRTM, or a name with its code or country: Depot 7 (NL).")
    code = found["code"].upper()
    return code if len(code) > 2 else Place(name=found["name"].strip(), country=code)


def _instant(text: str) -> datetime:
    """This will read a time; one without an offset is UTC, a day its beginning."""
    if _DAY.fullmatch(text):
        return texts.instant(f"{text}T00:00:00Z")
    if _WITHOUT_ZONE.fullmatch(text):
        return texts.instant(f"{text}{'' if text.count(':') > 1 else ':00'}Z")
    if re.fullmatch(r"[\d.,]+", text):
        raise Unreadable("This is a number; give the cell a format of dates, or write 2026-03-02T12:00:00Z.")
    return texts.instant(text).astimezone(UTC)


def _pieces(text: str) -> int:
    found = _WHOLE.fullmatch(text)
    return _COUNT(found[1] if found else text)


def _status(text: str) -> str:
    return text.lower().replace(" ", "_")[:40]


_COUNT: Final = texts.whole(0, texts.MAX_PIECES)
_NAME: Final = texts.up_to(120)
_OTHER: Final = texts.up_to(texts.MAX_OTHER_REFERENCE)
# None: what the product alone writes. It is accepted, so that an export can be sent back, and not looked at.
_READERS: Final[Mapping[str, Reader | None]] = {
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
    "weightKg": texts.amount(texts.WEIGHT_DIGITS),
    "plannedPickupAt": _instant,
    "plannedDeliveryAt": _instant,
    "volumeM3": texts.amount(texts.VOLUME_DIGITS),
    "customerId": texts.identifier,
    "seq": None,
    "po": _OTHER,
    "bol": _OTHER,
    "pro": _OTHER,
    "flags": None,
    "notes": texts.up_to(texts.MAX_NOTES),
}
# What a new file is begun with: those columns that are looked at, in the order of an export.
TEMPLATE: Final = tuple(name for name in SHIPMENTS.columns if _READERS[name])


def _key(text: str) -> str:
    return _APART.sub("", text).casefold()


_KNOWN: Final[Mapping[str, str]] = {
    _key(text): name for name, column in SHIPMENTS.columns.items() for text in (name, column.label)
}
_ALL: Final = ", ".join(column.label for column in SHIPMENTS.columns.values())
