"""The same rows in every format: numbers are numbers, times are times, and no text is a formula."""

import gzip
import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pandas as pd
import pytest
from python_calamine import CalamineWorkbook

from exports import concurrency_limit
from exports.reports import format_registry
from exports.reports.formats import xlsx
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from tests import factories
from tests.exports.export_client import fetch_file, token
from tests.exports.reports.test_shipments_csv import HARMLESS, NASTY
from tests.factories import NOW
from tests.narrowing import present

pytestmark = pytest.mark.usefixtures("committed")
REPORTS = ("shipments", "events", "deliveries", "audit")


def path(extension: str, report: str = "shipments") -> str:
    return f"/api/exports/{report}.{extension}"


def book(content: bytes) -> list[list[Any]]:
    rows: list[list[Any]] = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()
    return rows


def test_json_has_typed_values(organization: Organization, dispatcher: Subject) -> None:
    driver = factories.driver(organization, "=1+1", phone="+31 6")
    shipment = factories.booked_shipment(
        dispatcher, driver_id=driver.pk, pieces=3, weight_kg=Decimal("12.500"), references={"po": "-7"},
        planned_pickup_at=NOW + timedelta(milliseconds=250),
    )  # fmt: skip
    query = {"fields": "reference,driverName,driverPhone,pieces,weightKg,plannedPickupAt,eta,po,flags"}

    file = fetch_file(dispatcher, query, path=path("json"))

    assert file.headers["Content-Type"] == "application/json"
    assert orjson.loads(file.body) == [
        {
            "reference": shipment.reference, "driverName": "=1+1", "driverPhone": "+31 6", "pieces": 3,
            "weightKg": 12.5, "plannedPickupAt": "2026-03-02T12:00:00.250Z", "eta": None, "po": "-7", "flags": [],
        }
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_array_and_ndjson_one_object_a_line(dispatcher: Subject, count: int) -> None:
    for _ in range(count):
        factories.booked_shipment(dispatcher)

    array = fetch_file(dispatcher, path=path("json"))
    lines = fetch_file(dispatcher, path=path("ndjson"))

    assert (array.headers["X-Freight-Rows"], lines.headers["X-Freight-Rows"]) == (str(count), str(count))
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    assert orjson.loads(array.body) == [orjson.loads(line) for line in lines.body.splitlines()]


def test_xlsx_has_texts_numbers_and_times(organization: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(
        dispatcher, driver_id=factories.driver(organization, "=1+1").pk, pieces=3, weight_kg=Decimal("12.500"),
        planned_pickup_at=NOW + timedelta(milliseconds=250), reference="0042",
    )  # fmt: skip
    query = {"fields": "reference,driverName,pieces,weightKg,plannedPickupAt,eta"}

    file = fetch_file(dispatcher, query, path=path("xlsx"))

    assert file.headers["Content-Disposition"].endswith('.xlsx"')
    assert book(file.body) == [
        ["Reference", "Driver Name", "Pieces", "Weight kg", "Planned Pickup At", "ETA"],
        ["0042", "=1+1", 3.0, 12.5, datetime(2026, 3, 2, 12, 0, 0, 250_000), ""],  # noqa: DTZ001  as in a workbook
    ]


def test_xlsx_keeps_every_text(organization: Organization, dispatcher: Subject) -> None:
    names = [*NASTY, *HARMLESS, "x" * 120, "\U0001f69a \u0645\u0631\u062d\u0628\u0627"]
    for name in names:
        factories.booked_shipment(dispatcher, customer_id=factories.customer(organization, name).pk)

    file = fetch_file(dispatcher, {"fields": "customer"}, path=path("xlsx"))

    # XML has no bare carriage return; Excel writes it as _x000D_, which readers decode differently.
    cells = sorted(row[0].replace("_x000D_", "\r").replace("\r\n", "\n") for row in book(file.body)[1:])
    assert cells == sorted(name.replace("\r\n", "\n") for name in names)


def test_more_rows_than_a_sheet_has_are_refused(dispatcher: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    one_row_format = format_registry.Format(xlsx.XLSX.name, xlsx.XLSX.content_type, "json", xlsx.write, max_rows=1)
    monkeypatch.setitem(format_registry._formats, "xlsx", one_row_format)
    for _ in range(2):
        factories.booked_shipment(dispatcher)

    refused, fits = (
        fetch_file(dispatcher, path=path("xlsx")),
        fetch_file(dispatcher, {"limit": 1}, path=path("xlsx")),
    )

    assert (refused.status, fits.status) == (400, 200)
    assert orjson.loads(refused.body)["errors"][0]["code"] == "too_many_rows"


def test_a_csv_survives_a_round_trip_through_pandas(organization: Organization, dispatcher: Subject) -> None:
    for number, name in enumerate(HARMLESS):
        factories.booked_shipment(
            dispatcher, customer_id=factories.customer(organization, name).pk, pieces=number + 1,
            weight_kg=Decimal(number) / 8 + 1, reference=f"00{number}-{organization.slug[:8]}",
            planned_delivery_at=NOW + timedelta(days=number),
        )  # fmt: skip
    file = fetch_file(dispatcher, {"ordering": "reference"})

    frame = pd.read_csv(io.BytesIO(file.body), dtype={"Reference": str}, parse_dates=["Planned Delivery At"])

    assert list(frame["Customer"]) == HARMLESS
    assert list(frame["Reference"].str[:3]) == [f"00{number}" for number in range(len(HARMLESS))]
    assert list(frame["Pieces"]) == [number + 1 for number in range(len(HARMLESS))]
    assert list(frame["Weight kg"]) == [number / 8 + 1 for number in range(len(HARMLESS))]
    assert list(frame["Planned Delivery At"]) == [NOW + timedelta(days=n) for n in range(len(HARMLESS))]
    again = frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    assert pd.read_csv(io.StringIO(again), dtype={"Reference": str}, parse_dates=["Planned Delivery At"]).equals(
        frame
    )


def test_the_byte_order_mark_is_optional(dispatcher: Subject) -> None:
    plain, marked = fetch_file(dispatcher), fetch_file(dispatcher, {"bom": 1})

    assert marked.body == b"\xef\xbb\xbf" + plain.body
    assert fetch_file(dispatcher, {"bom": 1}, path=path("json")).status == 400


def test_columns_come_in_the_requested_order(dispatcher: Subject) -> None:
    shipment = factories.booked_shipment(dispatcher, notes="=inner")

    file = fetch_file(dispatcher, {"fields": "notes,reference"})

    assert file.rows == [["Notes", "Reference"], ["'=inner", shipment.reference]]


def test_unknown_columns_are_named_in_the_error(dispatcher: Subject) -> None:
    file = fetch_file(dispatcher, {"fields": "reference,nme,Satus"})

    [error] = orjson.loads(file.body)["errors"]
    assert (file.status, error["field"]) == (400, "fields")
    assert error["message"].startswith("No column is called 'nme', 'Satus'; there are id, reference,")


def test_restricted_columns_are_empty_for_a_customer_in_every_format(
    organization: Organization, dispatcher: Subject
) -> None:
    customer = factories.customer(organization)
    factories.booked_shipment(
        dispatcher, customer_id=customer.pk, driver_id=factories.driver(organization).pk, notes="not for customers"
    )
    viewer = factories.member(organization, "customer", customer=customer)
    query = {"fields": "driverName,driverPhone,notes"}

    bodies = [fetch_file(viewer, query, path=path(extension)).body for extension in ("csv", "ndjson", "xlsx")]

    assert bodies[0].splitlines()[1] == b"Dana Driver,,"
    assert orjson.loads(bodies[1]) == {"driverName": "Dana Driver", "driverPhone": None, "notes": None}
    assert book(bodies[2])[1] == ["Dana Driver", "", ""]


def test_it_is_compressed_when_the_client_accepts_gzip(dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    compressed = fetch_file(dispatcher, headers={"Accept-Encoding": "br, gzip"})
    plain = fetch_file(dispatcher, headers={"Accept-Encoding": "gzip;q=0"})

    assert (compressed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
    assert (compressed.headers["X-Freight-Rows"], compressed.headers["Vary"]) == ("1", "Accept-Encoding, origin")
    assert gzip.decompress(compressed.body) == plain.body


@pytest.mark.parametrize("report", REPORTS)
def test_every_report_comes_in_every_format(organization: Organization, dispatcher: Subject, report: str) -> None:
    driver = factories.driver(organization)
    factories.delivered_shipment(dispatcher, driver_id=driver.pk, planned_delivery_at=NOW + timedelta(minutes=90))
    auditor = factories.member(organization, "auditor")
    headers = {"Authorization": f"Bearer {token(auditor, scopes=('exports:read', 'audit:read'))}"}

    for extension in ("csv", "json", "ndjson", "xlsx"):
        file = fetch_file(None, path=path(extension, report), headers=headers)

        assert (report, extension, file.status) == (report, extension, 200)
        assert int(file.headers["X-Freight-Rows"]) >= 1
        if extension == "csv":
            assert len(file.rows) == int(file.headers["X-Freight-Rows"]) + 1
        if extension == "xlsx":
            assert len(book(file.body)) == int(file.headers["X-Freight-Rows"]) + 1


def test_a_delivery_says_how_late_it_was(organization: Organization, dispatcher: Subject) -> None:
    shipment = factories.delivered_shipment(
        dispatcher, driver_id=factories.driver(organization).pk, planned_delivery_at=NOW + timedelta(minutes=90)
    )
    factories.booked_shipment(dispatcher)

    file = fetch_file(dispatcher, {"fields": "reference,minutesLate"}, path=path("csv", "deliveries"))

    late = (present(shipment.delivered_at) - present(shipment.planned_delivery_at)).total_seconds() // 60
    assert file.rows[1:] == [[shipment.reference, str(round(late))]]


def test_a_customer_sees_only_events_of_its_own_shipments(organization: Organization, dispatcher: Subject) -> None:
    customer = factories.customer(organization)
    mine = factories.booked_shipment(dispatcher, customer_id=customer.pk)
    factories.booked_shipment(dispatcher)
    factories.booked_shipment(factories.member(factories.organization(), "dispatcher"))

    file = fetch_file(factories.member(organization, "customer", customer=customer), path=path("csv", "events"))

    assert file.column("Reference") == [mine.reference]


def test_the_audit_report_needs_the_audit_permission(dispatcher: Subject) -> None:
    assert fetch_file(dispatcher, path=path("csv", "audit")).status == 403


@pytest.mark.parametrize("extension", ["exe", "CSV", "csv.gz"])
def test_an_unknown_format_is_a_404(dispatcher: Subject, extension: str) -> None:
    assert fetch_file(dispatcher, path=path(extension)).status == 404


def test_a_refused_export_is_audited(organization: Organization) -> None:
    fetch_file(factories.member(organization, "driver"), {"status": "booked"})

    entry = AuditEntry.objects.get(organization=organization, action="export")
    assert (entry.outcome, entry.actor_role) == ("refused", "driver")
    assert present(entry.after)["report"] == "shipments"
    assert present(entry.after)["filters"] == {"status": "booked"}


def test_a_request_above_the_concurrency_limit_is_a_429_with_retry_after(
    organization: Organization, dispatcher: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        concurrency_limit,
        "report_reads",
        concurrency_limit.ConcurrencyLimit(0, share=1, max_waiting=1, timeout=0.01),
    )

    file = fetch_file(dispatcher)

    assert (file.status, file.headers["Retry-After"]) == (429, "6")
    assert AuditEntry.objects.get(organization=organization, action="export").outcome == "refused"
