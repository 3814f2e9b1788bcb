"""Imports of shipments over the API: dry run, create, report; idempotent by reference."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from exports.file_imports import import_worker
from exports.models import Import, ImportedFile
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Location, Organization, ShipmentEvent
from shipments.services.shipments.places import Place
from tests import factories
from tests.exports.export_client import fetch_file
from tests.exports.import_client import (
    ROUTE,
    csv_of,
    dry_run_report,
    get_import,
    row_errors,
    run_import,
    send,
    shipments_by_reference,
    xlsx_of,
)
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.usefixtures("committed", "export_dir")


def test_new_rows_become_shipments(api: Api, organization: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization, "Ōsaka & Söhne")
    raw = csv_of(
        [
            {"Reference": "A-1", **ROUTE, "Status": "booked", "Driver ID": str(driver.pk), "Pieces": "7",
             "Weight kg": "12.5", "Planned Pickup At": "2026-03-02T12:00:00+02:00", "PO": "4711",
             "Customer": "ōsaka & söhne", "Notes": "fragile,\n\"glass\""},
            {"Reference": "A-2", "Origin": "Depot 7 (NL)", "Destination": "Hamburg (DEHAM)"},
        ]
    )  # fmt: skip

    done = run_import(api, raw)

    assert (done["state"], done["progress"]) == ("succeeded", {"done": 2, "total": 2})
    assert done["counts"] == {"created": 2, "updated": 0, "unchanged": 0, "failed": 0}
    first, second = shipments_by_reference(organization)["A-1"], shipments_by_reference(organization)["A-2"]
    assert (first.status, first.driver_id, first.customer_id, first.pieces, first.weight_kg) == (
        "booked", driver.pk, customer.pk, 7, Decimal("12.500"),
    )  # fmt: skip
    assert (first.planned_pickup_at, first.references, first.notes) == (
        datetime(2026, 3, 2, 10, tzinfo=UTC), {"po": "4711"}, 'fragile,\n"glass"',
    )  # fmt: skip
    assert (second.status, second.origin.name, second.origin.country) == ("draft", "Depot 7", "NL")
    assert second.destination.locode == "DEHAM"
    # As if booked through the API: with its event and its audit entry.
    assert ShipmentEvent.objects.filter(shipment=first, seq=1, type="created").count() == 1
    assert AuditEntry.objects.get(organization=organization, entity_id="A-1").actor_id == dispatcher.user_id


def test_the_same_file_twice_changes_nothing(api: Api, organization: Organization) -> None:
    raw = csv_of(
        [
            {"Reference": "A-1", **ROUTE, "Planned Delivery At": "2026-03-09T12:00:00Z", "ETA": ""},
            {"Reference": "A-2", "Origin": "Depot 7 (NL)", "Destination": "DEHAM", "PO": "x"},
        ]
    )
    run_import(api, raw)
    before = {name: (each.seq, each.updated_at) for name, each in shipments_by_reference(organization).items()}

    again = run_import(api, raw)

    assert again["counts"] == {"created": 0, "updated": 0, "unchanged": 2, "failed": 0}
    assert {
        name: (each.seq, each.updated_at) for name, each in shipments_by_reference(organization).items()
    } == before
    assert Location.objects.filter(organization=organization).count() == 1


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_exported_file_imports_as_unchanged(
    api: Api, organization: Organization, dispatcher: Subject, kind: str
) -> None:
    customer, driver = (
        factories.customer(organization, "=Formula Ltd"),
        factories.driver(organization, "@Dana", "+31 6 1"),
    )
    names: dict[str, Any] = {"customer_id": customer.pk, "driver_id": driver.pk}
    for reference, notes in (
        ("A-1", "=1+1"),
        ("A-2", "'=1+1"),
        ("A-3", '+31 6, "x"\nline'),
        ("A-4", "''@x"),
        ("A-6", "a;=1;'=2\r\n- x\n'+y"),
    ):
        factories.booked_shipment(
            dispatcher, reference=reference, notes=notes, pieces=3,
            weight_kg=Decimal("12.345"), references={"po": "-1", "bol": ["'+2", "=3", "4"], "pro": "1;-2"},
            planned_pickup_at=datetime(2026, 3, 3, 4, 5, 6, 789123, UTC), **names,
            origin=Place("=Depot", "NL", 52.1, 4.3),
        )  # fmt: skip
    factories.delivered_shipment(dispatcher, reference="A-5", **names)
    before = {name: each.seq for name, each in shipments_by_reference(organization).items()}
    fields = (
        "id,reference,origin,destination,status,driverId,driverName,driverPhone,createdAt,updatedAt,customer,"
        "eta,deliveredAt,pieces,weightKg,plannedPickupAt,plannedDeliveryAt,volumeM3,customerId,seq,po,bol,pro,flags,notes"
    )
    file = fetch_file(dispatcher, {"fields": fields}, path=f"/api/exports/shipments.{kind}")

    done = run_import(api, file.body, kind=kind)

    assert (done["counts"]["unchanged"], done["rows"]) == (6, [
        {**entry, "outcome": "unchanged", "changed": [], "errors": [], "warnings": []} for entry in done["rows"]
    ])  # fmt: skip
    assert {name: each.seq for name, each in shipments_by_reference(organization).items()} == before


def test_several_references_stand_in_a_line_each_and_others_are_merged(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    factories.booked_shipment(dispatcher, reference="A-1", references={"po": ["1", "2"], "sku": "7"})

    done = run_import(
        api,
        csv_of([
            {"Reference": "A-1", "PO": "2\n\n 3 ", "BOL": "MAEU\u00a01"},
            {"Reference": "A-2", **ROUTE, "PO": "4711\n4712", "PRO": "9"},
        ]),
    )  # fmt: skip

    assert (done["counts"]["created"], done["counts"]["updated"]) == (1, 1)
    stored = shipments_by_reference(organization)
    assert stored["A-1"].references == {"po": ["2", "3"], "bol": "MAEU 1", "sku": "7"}
    assert stored["A-2"].references == {"po": ["4711", "4712"], "pro": "9"}


def test_given_values_are_amended_and_others_stay(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    driver = factories.driver(organization)
    factories.booked_shipment(
        dispatcher, reference="A-1", pieces=1, driver_id=driver.pk, references={"po": "1", "sku": "2"}
    )

    done = run_import(
        api, csv_of([{"reference": "a-1", "PIECES": "2", "driver_id": "", "PO": "3", "Status": "draft"}])
    )

    [entry] = done["rows"]
    stored = shipments_by_reference(organization)["A-1"]
    assert (entry["outcome"], entry["changed"]) == ("updated", ["PIECES", "references"])
    assert [(each["column"], each["code"]) for each in entry["warnings"]] == [("Status", "ignored")]
    assert (stored.pieces, stored.driver_id, stored.references, stored.status, stored.seq) == (
        2, driver.pk, {"po": "3", "sku": "2"}, "booked", 2,
    )  # fmt: skip


BAD: list[tuple[dict[str, str], str, str]] = [
    ({"Reference": "a b"}, "Reference", "invalid"),
    ({"Reference": "bulk"}, "Reference", "invalid"),
    ({"Reference": ""}, "Reference", "required"),
    ({"Origin": ""}, "Origin", "required"),
    ({"Origin": "Rotterdam"}, "Origin", "invalid"),
    ({"Origin": "ZZZZZ"}, "Origin", "unknown_place"),
    ({"Status": "in_transit"}, "Status", "invalid"),
    ({"Status": "=1+1"}, "Status", "invalid"),
    ({"Pieces": "2.5"}, "Pieces", "invalid"),
    ({"Pieces": "9" * 4301}, "Pieces", "invalid"),
    ({"Pieces": "-1"}, "Pieces", "invalid"),
    ({"Weight kg": "1e999"}, "Weight kg", "invalid"),
    ({"Weight kg": "0.0001"}, "Weight kg", "invalid"),
    ({"Weight kg": "1000000000"}, "Weight kg", "invalid"),
    ({"Weight kg": "12,5"}, "Weight kg", "invalid"),
    ({"Weight kg": "NaN"}, "Weight kg", "invalid"),
    ({"ETA": "46083.5"}, "ETA", "invalid"),
    ({"ETA": "02/03/2026"}, "ETA", "invalid"),
    ({"ETA": "2026-02-30T00:00:00Z"}, "ETA", "invalid"),
    ({"Driver ID": "x"}, "Driver ID", "invalid"),
    ({"Driver ID": str(uuid.UUID(int=7))}, "Driver ID", "unknown_driver"),
    ({"Driver Name": "Nobody"}, "Driver Name", "unknown_driver"),
    ({"Customer": "Twins"}, "Customer", "ambiguous_customer"),
    ({"Customer ID": str(uuid.UUID(int=7))}, "Customer ID", "unknown_customer"),
    ({"PO": "x" * 65}, "PO", "invalid"),
    ({"Notes": "x" * 4001}, "Notes", "invalid"),
    ({"Planned Pickup At": "2026-03-03", "Planned Delivery At": "2026-03-02"}, "Planned Delivery At", "invalid"),
]  # fmt: skip


def test_each_row_is_validated_by_itself(api: Api, organization: Organization) -> None:
    """Every bad row is between two good ones, which are imported."""
    for _ in range(2):
        factories.customer(organization, "Twins")
    rows: list[dict[str, str]] = [{"Reference": "GOOD-1", **ROUTE}]
    rows += [{"Reference": f"BAD-{at}", **ROUTE, **bad} for at, (bad, _, _) in enumerate(BAD)]
    rows += [{"Reference": "GOOD-2", **ROUTE}, {"Reference": "good-1", **ROUTE}]
    expected = {at + 3: [(column, code)] for at, (_, column, code) in enumerate(BAD)}
    expected[len(rows) + 1] = [("Reference", "repeated")]

    trial = dry_run_report(api, csv_of(rows), limit=1000)
    done = run_import(api, csv_of(rows))

    assert {row: problems for row, problems in row_errors(trial).items() if problems} == expected
    assert row_errors(done) == row_errors(trial)
    assert done["counts"] == {"created": 2, "updated": 0, "unchanged": 0, "failed": len(BAD) + 1}
    assert set(shipments_by_reference(organization)) == {"GOOD-1", "GOOD-2"}


def test_a_dry_run_reports_outcomes_and_changes_nothing(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    factories.booked_shipment(dispatcher, reference="A-1", pieces=1)
    factories.delivered_shipment(dispatcher, reference="A-2", driver_id=factories.driver(organization).pk)
    rows = [
        {"Reference": "A-1", "Pieces": "2", "Origin": ""},
        {"Reference": "A-2", "Origin": "DEBRE"},
        {"Reference": "A-3", "Origin": "Depot 9 (NL)", "Destination": "DEHAM"},
    ]

    trial = dry_run_report(api, csv_of(rows), filename="week 9.csv")

    assert (trial["dryRun"], trial["total"], trial["filename"]) == (True, 3, "week 9.csv")
    assert trial["counts"] == {"created": 1, "updated": 1, "unchanged": 0, "failed": 1}
    assert [entry["outcome"] for entry in trial["rows"]] == ["updated", "failed", "created"]
    assert "settled" in trial["rows"][1]["errors"][0]["message"]
    assert (
        len(shipments_by_reference(organization)),
        Location.objects.filter(organization=organization).count(),
    ) == (2, 0)
    assert not Import.objects.filter(organization_id=organization.pk).exists()


def test_the_report_comes_in_pages(api: Api) -> None:
    rows = [{"Reference": f"A-{at}" if at % 2 else "", **ROUTE} for at in range(6)]
    done = run_import(api, csv_of(rows))
    path = f"/api/imports/{done['id']}"

    first = api.get(path, {"outcome": "failed", "limit": 2}).json()
    second = api.get(path, {"outcome": "failed", "limit": 2, "after": first["next"]}).json()

    assert ([entry["row"] for entry in first["rows"]], first["next"]) == ([2, 4], 4)
    assert ([entry["row"] for entry in second["rows"]], second["next"]) == ([6], None)
    assert field_errors(api.get(path, {"limit": "1001", "outcome": "x", "foo": "1"})) == [
        ("limit", "invalid"), ("outcome", "invalid"), ("foo", "unknown_parameter"),
    ]  # fmt: skip


def test_semicolons_and_decimal_commas_are_parsed(api: Api, organization: Organization) -> None:
    raw = "\ufeffReference;Origin;Destination;Weight kg\r\nA-1;NLRTM;DEHAM;12,5\r\n".encode()

    done = run_import(api, raw)

    assert (done["counts"]["created"], shipments_by_reference(organization)["A-1"].weight_kg) == (
        1,
        Decimal("12.500"),
    )


def test_numbers_and_times_of_a_workbook_are_parsed(api: Api, organization: Organization) -> None:
    raw = xlsx_of(
        [
            ["Reference", "Origin", "Destination", "Pieces", "ETA", "PO"],
            [4711, "NLRTM", "DEHAM", 7, datetime(2026, 3, 2, 12, 30), 4500012345],  # noqa: DTZ001  as in a workbook
            [4712, "NLRTM", "DEHAM", 7.5, 46083.5, 1],
        ]
    )

    done = run_import(api, raw, kind="xlsx")

    stored = shipments_by_reference(organization)["4711"]
    assert (stored.pieces, stored.eta, stored.references) == (
        7, datetime(2026, 3, 2, 12, 30, tzinfo=UTC), {"po": "4500012345"},
    )  # fmt: skip
    assert row_errors(done)[3] == [("Pieces", "invalid"), ("ETA", "invalid")]


def test_start_and_end_are_audited(api: Api, organization: Organization) -> None:
    done = run_import(
        api, csv_of([{"Reference": "A-1", **ROUTE}, {"Reference": "", **ROUTE}]), filename="march.csv"
    )

    entries = AuditEntry.objects.filter(organization=organization, entity="import").order_by("at", "id")
    assert [(each.action, each.outcome, each.entity_id) for each in entries] == [
        ("import", "started", done["id"]), ("import", "done", done["id"]),
    ]  # fmt: skip
    details = entries[1].after or {}
    assert {name: details[name] for name in ("filename", "rows", "created", "failed", "sha256")} == {
        "filename": "march.csv", "rows": 2, "created": 1, "failed": 1, "sha256": done["sha256"],
    }  # fmt: skip
    assert not ImportedFile.objects.filter(pk=done["id"]).exists()


@pytest.mark.parametrize("role", ["driver", "customer", "auditor"])
def test_importing_needs_the_permission_to_book(organization: Organization, role: str) -> None:
    reader = Api(factories.member(organization, role))

    assert [
        send(reader, csv_of([{"Reference": "A-1", **ROUTE}])).status_code,
        send(reader, b"", dryRun="true").status_code,
        reader.get("/api/imports").status_code,
        reader.get(f"/api/imports/{uuid.uuid4()}").status_code,
    ] == [403, 403, 403, 403]


def test_an_import_is_visible_to_its_owner_only(api: Api, organization: Organization) -> None:
    import_id = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]

    for other in (factories.member(organization, "admin"), factories.member(factories.organization(), "admin")):
        other_api, path = Api(other), f"/api/imports/{import_id}"
        assert (other_api.get(path).status_code, other_api.delete(path).status_code) == (404, 404)
        assert other_api.get("/api/imports").json() == {"results": []}
    assert get_import(api, import_id)["state"] == "queued"


def test_a_third_open_import_is_refused(api: Api) -> None:
    raw = csv_of([{"Reference": "A-1", **ROUTE}])
    first = send(api, raw).json()["id"]
    send(api, raw)

    refused = send(api, raw)
    api.delete(f"/api/imports/{first}")
    allowed = send(api, raw)

    assert (refused.status_code, "Retry-After" in refused, allowed.status_code) == (429, True, 202)


def test_a_cancelled_import_is_not_applied(api: Api, organization: Organization) -> None:
    import_id = send(api, csv_of([{"Reference": "A-1", **ROUTE}])).json()["id"]

    response = api.delete(f"/api/imports/{import_id}")
    import_worker.work_batch()

    assert (response.status_code, get_import(api, import_id)["state"], shipments_by_reference(organization)) == (
        204,
        "cancelled",
        {},
    )
    assert api.delete(f"/api/imports/{import_id}").status_code == 204
    outcomes = AuditEntry.objects.filter(organization=organization, entity="import").values_list(
        "outcome", flat=True
    )
    assert list(outcomes) == ["cancelled"]
