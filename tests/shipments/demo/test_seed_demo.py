"""The demo data: loaded without the services, and equal to what they would have written."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import IntegrityError
from pytest_django import Settings

from shipments import representation, services
from shipments.auth import subjects
from shipments.demo import demo_only, lane_network, loader, seed
from shipments.domain import lifecycle
from shipments.models import (
    AuditEntry,
    Driver,
    Location,
    Organization,
    Shipment,
    ShipmentEvent,
    UnlinkedEntry,
    UnnumberedEvent,
    User,
)
from shipments.services.shipments import automatic_flags
from tests.narrowing import present

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SHIPMENTS = 300

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo() -> Organization:
    """Load the demo and return its organisation."""
    seed.seed(shipments=SHIPMENTS, events=6, seed=1, now=NOW)
    return Organization.objects.get(slug="demo")


@pytest.fixture
def empty_demo(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command load: as in a demo whose database is empty, which that of the tests is not."""
    settings.DEMO = True
    monkeypatch.setattr(demo_only, "require_no_other_organization", lambda: None)


def _log(organization: Organization) -> dict[Any, list[dict[str, Any]]]:
    logs = defaultdict(list)
    rows = ShipmentEvent.objects.filter(organization=organization).order_by("shipment_id", "seq")
    for row in rows.values("shipment_id", *representation.EVENT_COLUMNS):
        logs[row["shipment_id"]].append(row)
    return logs


def _folded(events: list[dict[str, Any]]) -> dict[str, Any]:
    snapshot: dict[str, Any] = {}
    for event in events:
        snapshot |= event["data"]["changes"]
        snapshot |= {"seq": event["seq"], "updatedAt": representation.instant(event["recorded_at"])}
    return snapshot


def test_every_log_folds_into_the_snapshot_of_its_shipment(demo: Organization) -> None:
    logs = _log(demo)

    snapshots = {
        row["id"]: representation.snapshot(row)
        for row in Shipment.objects.of_organization(demo.pk).values(*representation.SHIPMENT_COLUMNS)
    }

    assert len(snapshots) == SHIPMENTS
    assert {identifier: _folded(events) for identifier, events in logs.items()} == snapshots


def test_every_history_is_one_that_the_commands_allow(demo: Organization) -> None:
    refused = []

    for events in _log(demo).values():
        status, assigned = events[0]["status"], False
        for event in events[1:]:
            changes = event["data"]["changes"]
            assigned = assigned or bool(changes.get("driver"))
            to = changes.get("status", status)
            if to != status and to not in lifecycle.allowed_transitions(status, assigned=assigned, on_hold=False):
                refused.append((status, to))
            status = to

    assert refused == []


def test_times_increase_and_end_before_now(demo: Organization) -> None:
    for events in _log(demo).values():
        recorded = [event["recorded_at"] for event in events]
        occurred = [event["occurred_at"] for event in events]

        assert recorded == sorted(set(recorded))
        assert occurred == sorted(set(occurred))
        assert all(at <= stored_at for at, stored_at in zip(occurred, recorded, strict=True))
        assert recorded[-1] <= NOW


def test_every_event_has_the_audit_entry_that_the_services_write(demo: Organization) -> None:
    actions = {"created": "create", "transitioned": "transition", "amended": "update", "flagged": "flag"}
    events = ShipmentEvent.objects.filter(organization=demo).values_list(
        "shipment__reference", "recorded_at", "type", "actor_role", "actor_id"
    )

    entries = AuditEntry.objects.filter(organization=demo).values_list(
        "entity_id", "at", "action", "actor_role", "actor_id"
    )

    assert Counter(entries) == Counter(
        (reference, at, actions[kind], role, actor) for reference, at, kind, role, actor in events
    )


def test_every_event_and_audit_entry_waits_for_the_relay(demo: Organization) -> None:
    events = ShipmentEvent.objects.filter(organization=demo).values_list("pk", flat=True)
    entries = AuditEntry.objects.filter(organization=demo).values_list("pk", flat=True)

    unnumbered = UnnumberedEvent.objects.filter(organization_id=demo.pk).values_list("event_id", flat=True)
    unlinked = UnlinkedEntry.objects.filter(organization_id=demo.pk).values_list("entry_id", flat=True)

    assert set(unnumbered) == set(events)
    assert set(unlinked) == set(entries)


def test_a_created_event_is_what_book_writes(demo: Organization) -> None:
    by = subjects.system_subject(demo.pk, name="test")
    theirs = ShipmentEvent.objects.filter(organization=demo, type="created").earliest("recorded_at")
    entry = AuditEntry.objects.filter(organization=demo, action="create").earliest("at")

    ours = services.book(by=by, now=NOW, origin="NLRTM", destination="DEHAM").events.get()

    assert theirs.data["changes"].keys() == ours.data["changes"].keys()
    written = AuditEntry.objects.get(organization=demo, entity_id=ours.data["changes"]["reference"])
    assert present(entry.after).keys() == present(written.after).keys()


def test_every_state_occurs_and_enough_are_in_transit(demo: Organization) -> None:
    counts = Counter(Shipment.objects.of_organization(demo.pk).values_list("status", flat=True))

    assert set(counts) == set(lifecycle.STATES)
    assert 0.22 < counts["in_transit"] / SHIPMENTS < 0.34


def test_references_count_up_with_time(demo: Organization) -> None:
    references = list(
        Shipment.objects.of_organization(demo.pk).order_by("created_at").values_list("reference", flat=True)
    )

    assert references == [f"SHIP-{number:06d}" for number in range(1, SHIPMENTS + 1)]
    rival = Organization.objects.get(slug="rival")
    assert Shipment.objects.of_organization(rival.pk).filter(reference__regex=r"^RIVAL-0000[0-5]\d$").count() == 50


def test_accounts_can_log_in_and_have_something_to_see(demo: Organization) -> None:
    people = {user.email: user for user in User.objects.select_related("membership")}
    driver, customer = people["driver@demo.test"], people["customer@demo.test"]
    viewers = {user.email: subjects.subject_of_user(user) for user in (driver, customer)}

    visible = {email: Shipment.objects.visible_to(viewer) for email, viewer in viewers.items() if viewer}

    assert people["admin@demo.test"].is_staff
    assert people["admin@demo.test"].is_superuser
    assert people["dispatcher@rival.test"].membership.organization.slug == "rival"
    assert all(user.check_password("freight-demo") for user in (driver, customer))
    assert visible["driver@demo.test"].filter(status="in_transit").count() >= 2
    assert visible["customer@demo.test"].count() >= 2


def test_a_driver_in_transit_is_on_its_lane(demo: Organization) -> None:
    moving = (
        Shipment.objects.of_organization(demo.pk).filter(status="in_transit").exclude(driver__last_position=None)
    )
    off_lane = []

    for shipment in moving.select_related("driver__last_position", "origin", "destination"):
        lane = lane_network.lane(shipment.origin.locode or "", shipment.destination.locode or "")
        position = shipment.driver.last_position
        steps = (lane.at(step / 200) for step in range(201))
        nearest = min(lane_network.distance_km((position.latitude, position.longitude), point) for point in steps)
        if nearest > max(lane.km / 300, 1):
            off_lane.append(shipment.reference)

    assert moving.count() > SHIPMENTS / 6
    assert off_lane == []


def test_places_are_the_shared_ones_of_the_list_with_positions(demo: Organization) -> None:
    places = Location.objects.all()

    assert {place.organization_id for place in places} == {None}
    assert [place.locode for place in places if place.latitude is None] == []


def test_the_same_seed_and_time_give_the_same_data() -> None:
    def written() -> list[Any]:
        sid = transaction.savepoint()
        seed.seed(shipments=40, events=6, seed=7, now=NOW)
        rows = [
            list(ShipmentEvent.objects.order_by("id").values("id", "data", "recorded_at", "actor_id")),
            list(Shipment.objects.order_by("id").values(*representation.SHIPMENT_COLUMNS)),
            list(Driver.objects.order_by("id").values()),
            list(User.objects.order_by("id").values("id", "email", "password")),
        ]
        transaction.savepoint_rollback(sid)
        return rows

    assert written() == written()


def test_the_triggers_are_enabled_again_afterwards(demo: Organization) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Shipment.objects.of_organization(demo.pk).filter(reference="SHIP-000001").update(notes="x")


def test_indexes_and_foreign_keys_dropped_for_many_rows_are_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def schema() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) UNION ALL"
                " SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = ANY(%s::regclass[])"
                " ORDER BY 1, 2",
                [[*loader.TABLES]] * 2,
            )
            return list(cursor.fetchall())

    before = schema()
    monkeypatch.setattr(loader, "_BULK_THRESHOLD", 1)
    seed.seed(shipments=20, events=6, seed=1, now=NOW)

    assert schema() == before


RIVAL_OWNER = "organization_id = (SELECT id FROM shipments_organization WHERE slug = 'rival')"


@pytest.mark.parametrize("change", ["seq = seq + 1", RIVAL_OWNER])
def test_a_broken_invariant_is_found(demo: Organization, change: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE shipments_shipment DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE shipments_shipment SET {change} WHERE reference = 'SHIP-000009'")  # noqa: S608  ours

    with pytest.raises(loader.InvariantBroken):
        loader.check_invariants(demo.pk)


def test_fewer_events_can_be_requested() -> None:
    loaded = seed.seed(shipments=400, events=1, seed=1, now=NOW)

    assert loaded.events / loaded.shipments == pytest.approx(seed.SHORTEST, abs=0.4)


def test_more_events_can_be_requested() -> None:
    loaded = seed.seed(shipments=400, events=50, seed=1, now=NOW)

    assert loaded.events / loaded.shipments == pytest.approx(seed.FULLEST, abs=0.6)


@pytest.mark.usefixtures("empty_demo")
def test_the_command_reports_what_it_did_and_changes_nothing_the_second_time() -> None:
    first, second = StringIO(), StringIO()

    call_command("seed_demo", shipments=20, now=NOW, stdout=first)
    call_command("seed_demo", stdout=second)

    assert json.loads(first.getvalue())["shipments"] == 70
    assert json.loads(second.getvalue()) == {"command": "seed_demo", "already": True, "shipments": 20}


@pytest.mark.usefixtures("empty_demo")
def test_the_command_refuses_to_load_over_existing_data() -> None:
    call_command("seed_demo", shipments=5, now=NOW, stdout=StringIO())

    with pytest.raises(CommandError, match="never loaded over"):
        call_command("seed_demo", shipments=6, stdout=StringIO())


def test_outside_a_demo_no_account_with_a_public_password_is_made() -> None:
    before = (Organization.objects.count(), User.objects.count())

    with pytest.raises(CommandError, match="seed_demo is for a demo only and changed nothing: DEMO is off"):
        call_command("seed_demo", shipments=5, stdout=StringIO())

    assert (Organization.objects.count(), User.objects.count()) == before


def test_nothing_is_loaded_beside_the_data_of_somebody_else(settings: Settings) -> None:
    settings.DEMO = True
    Organization.objects.create(name="Nordwind", slug="nordwind", created_at=datetime(2000, 1, 1, tzinfo=UTC))

    with pytest.raises(CommandError, match="holds the organisation 'Nordwind' and no demo, so nothing was loaded"):
        call_command("seed_demo", shipments=5, stdout=StringIO())

    assert not User.objects.filter(email__endswith="@demo.test").exists()


def test_every_lane_has_a_plausible_length_and_transit_time() -> None:
    lanes = lane_network.lanes()

    assert len(lanes) > 3000
    assert all(timedelta(hours=3) < timedelta(days=lane.days) < timedelta(days=36) for lane in lanes.values())
    assert lane_network.lane("CNSGH", "NLRTM").km == pytest.approx(
        19_500, rel=0.03
    )  # through Suez: 10,500 sea miles
    assert lane_network.lane("NLRTM", "DEHAM").mode == "road"


def test_no_automatic_flag_is_due_after_the_seed(demo: Organization) -> None:
    overdue = Shipment.objects.of_organization(demo.pk).filter(flags__contains=[{"flag": "delayed"}])

    assert automatic_flags.evaluate_batch(now=NOW) == 0
    assert overdue.filter(planned_delivery_at__lt=NOW - settings.DELAYED_AFTER).count() == overdue.count() > 10
