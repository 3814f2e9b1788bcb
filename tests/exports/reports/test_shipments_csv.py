"""GET /api/exports/shipments.csv: exactly what the caller may see, safe in a spreadsheet, audited."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from shipments.services.shipments.places import Place
from tests import factories
from tests.exports.export_client import fetch_file
from tests.factories import NOW
from tests.narrowing import present

pytestmark = pytest.mark.usefixtures("committed")
LABELS = (
    "ID,Reference,Origin,Destination,Status,Driver ID,Driver Name,Driver Phone,Created At,Updated At,"
    "Customer,ETA,Delivered At,Pieces,Weight kg,Planned Pickup At,Planned Delivery At"
)
NASTY = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "  -1", "\u00a0=1", " \u00a0+1", "\u200b=1",
    "\ufeff@x", "\u3000=1", "\uff1d1", "\uff0b1", "=HYPERLINK(\"http://x\",\"y\")", "-2+3+cmd|' /C calc'!A0",
    "depot;=1+1", "a, b;\"+1", "two\r\n-1",
]  # fmt: skip
# Those that have an apostrophe elsewhere than at their start alone.
ESCAPED_INSIDE = {
    "\t=1": "'\t'=1", "\r=1": "'\r'=1", "\n=1": "'\n'=1", "depot;=1+1": "depot;'=1+1", "a, b;\"+1": "a, b;'\"+1",
    "two\r\n-1": "two\r\n'-1",
}  # fmt: skip
HARMLESS = [
    'Ann, "the" van',
    "O'Neill",
    "1-2",
    "a=b",
    "\u967d\u5149\u96fb\u5b50",
    "two\nlines",
    "50 % off",
    "{0} %s \\N",
]


def test_the_header_and_a_row(organization: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    shipment = factories.booked_shipment(
        dispatcher, driver_id=driver.pk, customer_id=customer.pk, pieces=3, weight_kg=Decimal("12.500"),
        planned_pickup_at=NOW + timedelta(milliseconds=250), now=NOW,
    )  # fmt: skip

    file = fetch_file(dispatcher)

    assert file.status == 200
    assert file.body.splitlines()[0].decode() == LABELS
    assert file.rows[1:] == [
        [
            str(shipment.pk), shipment.reference, "Rotterdam (NLRTM)", "Hamburg (DEHAM)", "booked", str(driver.pk),
            "Dana Driver", "'+31 6 1234 5678", "2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z", "Northwind Traders",
            "", "", "3", "12.5", "2026-03-02T12:00:00.250Z", "",
        ]
    ]  # fmt: skip


def test_the_response_headers(dispatcher: Subject) -> None:
    for _ in range(3):
        factories.booked_shipment(dispatcher)

    file = fetch_file(dispatcher)

    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="shipments-\d{8}-\d{6}\.csv"', file.headers["Content-Disposition"])
    assert file.headers["Cache-Control"] == "no-store"
    assert file.headers["X-Accel-Buffering"] == "no"
    assert (file.headers["X-Freight-Rows"], len(file.rows)) == ("3", 4)


def test_no_cell_is_a_formula(organization: Organization, dispatcher: Subject) -> None:
    for name in NASTY:
        factories.booked_shipment(dispatcher, driver_id=factories.driver(organization, name).pk)

    file = fetch_file(dispatcher)

    assert sorted(file.column("Driver Name")) == sorted(ESCAPED_INSIDE.get(name, f"'{name}") for name in NASTY)


def test_every_text_column_is_escaped(organization: Organization, dispatcher: Subject) -> None:
    place = Place(name="=1+1", country="NL", latitude=1.0, longitude=2.0)
    driver = factories.driver(organization, "@x", phone="-1")
    factories.booked_shipment(
        dispatcher, driver_id=driver.pk, customer_id=factories.customer(organization, "+1").pk, origin=place,
        destination=place,
    )  # fmt: skip

    file = fetch_file(dispatcher)

    cells = [file.column(label) for label in ("Origin", "Destination", "Driver Name", "Driver Phone", "Customer")]
    assert cells == [["'=1+1 (NL)"], ["'=1+1 (NL)"], ["'@x"], ["'-1"], ["'+1"]]


def test_other_texts_are_unchanged(organization: Organization, dispatcher: Subject) -> None:
    for name in HARMLESS:
        factories.booked_shipment(dispatcher, customer_id=factories.customer(organization, name).pk)

    file = fetch_file(dispatcher)

    assert sorted(file.column("Customer")) == sorted(HARMLESS)


def test_a_customer_sees_its_own_shipments_without_phones(organization: Organization, dispatcher: Subject) -> None:
    customer, driver = factories.customer(organization), factories.driver(organization)
    mine = factories.booked_shipment(dispatcher, customer_id=customer.pk, driver_id=driver.pk)
    factories.booked_shipment(dispatcher, driver_id=driver.pk)

    file = fetch_file(factories.member(organization, "customer", customer=customer))

    assert file.column("Reference") == [mine.reference]
    assert (file.column("Driver Name"), file.column("Driver Phone")) == ([driver.name], [""])
    assert file.headers["X-Freight-Rows"] == "1"


def test_a_customer_with_nothing_gets_the_header_alone(organization: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    file = fetch_file(factories.member(organization, "customer"))

    assert file.body.decode() == f"{LABELS}\n"


@pytest.mark.parametrize("role", ["admin", "dispatcher", "auditor"])
def test_staff_see_every_row_of_their_organisation_and_no_other(
    organization: Organization, dispatcher: Subject, role: str
) -> None:
    ours = {factories.booked_shipment(dispatcher).reference for _ in range(2)}
    factories.booked_shipment(factories.member(factories.organization("Rival"), "dispatcher"))

    file = fetch_file(factories.member(organization, role))

    assert set(file.column("Reference")) == ours


def test_a_driver_may_not_export(organization: Organization) -> None:
    file = fetch_file(factories.member(organization, "driver"))

    assert (file.status, file.headers["Content-Type"]) == (403, "application/problem+json")


def test_an_anonymous_caller_may_not_export(committed: None) -> None:
    assert fetch_file(None).status == 401


def test_filters_select_rows(dispatcher: Subject) -> None:
    references = [
        factories.booked_shipment(dispatcher, now=NOW + timedelta(days=day), status=status).reference
        for day, status in enumerate(["draft", "booked", "booked", "draft"])
    ]

    def exported_references(**query: Any) -> list[str]:
        file = fetch_file(dispatcher, query)
        assert file.headers["X-Freight-Rows"] == str(len(file.rows) - 1)
        return file.column("Reference")

    assert exported_references() == references[::-1]
    assert exported_references(status="draft") == [references[3], references[0]]
    assert exported_references(status="draft,booked", limit=3) == references[:0:-1]
    assert exported_references(createdAfter="2026-03-03T12:00:00Z", createdBefore="2026-03-04T13:00:00+01:00") == [
        references[1]
    ]


def test_every_invalid_parameter_is_named(dispatcher: Subject) -> None:
    query = {"sort": "x", "status": "nowhere", "limit": "0", "createdAfter": "yesterday", "fields": "id,nme"}

    file = fetch_file(dispatcher, query)

    assert (file.status, file.headers["Content-Type"]) == (400, "application/problem+json")
    assert {error["field"]: error["code"] for error in orjson.loads(file.body)["errors"]} == {
        "sort": "unknown_parameter", "status": "invalid", "limit": "invalid", "createdAfter": "invalid",
        "fields": "invalid",
    }  # fmt: skip


@pytest.mark.parametrize("limit", ["1000000000", "-1", "1.5", "\u0661", "", "1\0"])
def test_an_invalid_limit_is_refused(dispatcher: Subject, limit: str) -> None:
    assert fetch_file(dispatcher, {"limit": limit}).status == 400


def test_the_older_path_gives_the_same_file(dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    assert fetch_file(dispatcher, path="/api/shipments/export/csv").body == fetch_file(dispatcher).body


def test_accept_is_ignored(dispatcher: Subject) -> None:
    assert [
        fetch_file(dispatcher, headers={"Accept": accept}).status
        for accept in ("text/csv", "*/*", "application/json")
    ] == [200] * 3


def test_start_and_end_are_audited(organization: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    file = fetch_file(dispatcher, {"status": "booked"})

    started, done = AuditEntry.objects.filter(organization=organization, action="export").order_by("at", "id")
    details = {"report": "shipments", "format": "csv", "filters": {"status": "booked"}, "rows": 1}
    assert (started.outcome, started.entity, started.after) == ("started", "export", details)
    assert present(done.after).pop("durationMs") >= 0
    assert (done.outcome, done.after) == ("done", details | {"bytes": len(file.body)})
    assert {entry.actor_id for entry in (started, done)} == {dispatcher.user_id}
    assert started.entity_id == done.entity_id


def test_a_reference_filters_and_its_several_values_stand_in_a_line_each(dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1", references={"po": ["=1", "4711"]})
    factories.booked_shipment(dispatcher, reference="A-2", references={"po": "4712"})

    file = fetch_file(dispatcher, {"fields": "reference,po", "reference.po": "4711"})

    assert file.rows == [["Reference", "PO"], ["A-1", "'=1\n4711"]]
