"""Any file that an export writes comes in again unchanged: identifiers, numbers, times and texts."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from exports.file_imports import columns, row_processing, table
from exports.file_imports.row_processing import ChunkReader
from shipments.domain import names, other_references
from shipments.models import Shipment
from shipments.parsing import invisible_characters
from tests import factories
from tests.exports.export_client import fetch_file

pytestmark = pytest.mark.usefixtures("committed", "export_dir")
FIELDS: Final = (
    "id,reference,origin,destination,status,driverId,driverName,createdAt,customer,eta,pieces,weightKg,"
    "plannedPickupAt,plannedDeliveryAt,volumeM3,customerId,seq,po,bol,pro,flags,notes"
)
# What formulas, formats, spreadsheets and escapes have made of texts elsewhere.
FRAGMENTS: Final = (
    "=1+1", "'", "''=", "-", "@", ";", "\t", ",", '"', "\n", "\r", "\r\n", " ", "_x0041_", "_x000D_", "_x005F_",
    "\u200b", "\ufeff", "\u00a0", "\u2028", "\x01", "\x85", "#N/A", "1.23E+11", "00123", "1.000", "1,234",
    "9400111899223817", "e\u0301", "\u00e9", "TRUE", "2026-03-02",
)  # fmt: skip
# The last two are no characters of XML, which a workbook is made of.
CHARACTER: Final = st.characters(codec="utf-8", exclude_characters="\0\ufffe\uffff")
TEXTS: Final = st.lists(st.sampled_from(FRAGMENTS) | CHARACTER, max_size=12).map("".join)
NOTES: Final = TEXTS.map(str.strip)
REFERENCES: Final = TEXTS.map(names.normalize).filter(lambda text: 0 < len(text) <= other_references.MAX_LENGTH)
TIMES: Final = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001  bounds have no zone


def decimals(most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(0), Decimal(most), places=3)


SHIPMENT: Final = st.fixed_dictionaries(
    {
        "suffix": st.text("0123456789.Ee_-+"[:-1], max_size=20),
        "notes": NOTES,
        "references": st.dictionaries(st.sampled_from(["po", "bol", "pro"]), REFERENCES),
        "pieces": st.none() | st.integers(0, 1_000_000),
        "weight_kg": st.none() | decimals("999999999.999"),
        "volume_m3": st.none() | decimals("9999999.999"),
        "planned_pickup_at": st.none() | TIMES,
        "eta": st.none() | TIMES,
    }
)
SHIPMENTS: Final = st.lists(SHIPMENT, min_size=1, max_size=8)
# Nothing is shrunk: an example takes half a second, and its shipments are few.
FILES: Final = settings(
    max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@FILES
@given(shipments=SHIPMENTS)
@example(shipments=[{"suffix": "", "notes": "\u200b'=1", "references": {"po": "\ufeff'-1"}}])
@example(shipments=[{"suffix": "", "notes": "_x005F_x0041_", "references": {"po": "a_x000D_"}}])
def test_an_exported_file_has_every_value_and_changes_nothing(kind: str, shipments: list[dict[str, Any]]) -> None:
    organization = factories.organization()
    by = factories.member(organization, "dispatcher")
    stored: dict[str, Shipment] = {}
    for number, each in enumerate(shipments):
        fields = {name: value for name, value in each.items() if name != "suffix" and value not in (None, "")}
        shipment = factories.booked_shipment(by, reference=f"{number}{each['suffix']}", **fields)
        stored[shipment.reference] = shipment

    file = table.read(fetch_file(by, {"fields": FIELDS}, path=f"/api/exports/shipments.{kind}").body)
    reader = ChunkReader(columns.match_header(file.header), decimal_marks=file.decimal_marks)
    rows = [row for chunk in reader.chunks(file.rows(), 100) for row in chunk]
    results = row_processing.dry_run_chunk(by=by, now=factories.NOW, chunk=rows)

    assert {row.reference: values_of_row(row.values) for row in rows} == {
        reference: values_of_shipment(shipment) for reference, shipment in stored.items()
    }
    assert [(each.outcome, each.changed, each.errors) for each in results] == [("unchanged", [], [])] * len(stored)


def values_of_shipment(shipment: Shipment) -> dict[str, Any]:
    """Return what a file holds of a shipment: times to the millisecond, texts without blanks at their ends."""
    values = {
        "pieces": shipment.pieces, "weightKg": shipment.weight_kg, "volumeM3": shipment.volume_m3,
        "plannedPickupAt": shipment.planned_pickup_at, "eta": shipment.eta,
        "notes": shipment.notes, **shipment.references,
    }  # fmt: skip
    return {name: comparable(value) for name, value in values.items() if comparable(value) not in {None, ""}}


def values_of_row(values: Any) -> dict[str, Any]:
    names_ = ("pieces", "weightKg", "volumeM3", "plannedPickupAt", "eta", "notes")
    given_values = {name: values[name] for name in names_ if name in values} | values.get("references", {})
    return {name: comparable(value) for name, value in given_values.items()}


def comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return invisible_characters.trim(value.replace("\r\n", "\n")) if isinstance(value, str) else value
