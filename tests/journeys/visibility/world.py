"""An organisation with a mark in every text that not everybody may see, and everybody who may look at it."""

import io
import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from django.contrib.auth.hashers import make_password
from PIL import Image

from exports.background import export_jobs, export_worker
from exports.file_imports import import_jobs
from exports.file_imports.table import ImportTable
from exports.models import ImportedRow
from shipments import services
from shipments.auth import tokens
from shipments.auth.subjects import Subject
from shipments.domain.pictures import Picture
from shipments.models import (
    ApiKey,
    Customer,
    DeviceKey,
    Driver,
    Location,
    Organization,
    RefreshFamily,
    SocketTicket,
    TrackingLink,
    User,
)
from shipments.services.accounts import api_keys, customers, socket_tickets
from shipments.services.feed.sequencer import number_batch
from shipments.services.fleet import device_keys, drivers
from shipments.services.shipments import tracking_links
from tests import factories
from tests.journeys.credentials import MemberCredentials, create_member_credentials

STARTED_AT: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)
_numbers = itertools.count(1)


def _picture() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (1, 1)).save(target, "PNG")
    return target.getvalue()


def hours(number: float) -> datetime:
    return STARTED_AT + timedelta(hours=number)


@dataclass
class Marks:
    """The marks that were planted, each with the fields in which it stands."""

    fields: dict[str, set[str]] = field(default_factory=dict)

    def new(self, name: str, form: str = "{}") -> str:
        """Return a text with a mark of its own, planted in `Model.field`."""
        return form.format(self.planted(name, f"zq{next(_numbers):04d}x"))

    def planted(self, name: str, text: object) -> str:
        """Take a text (a digest, an id) for a mark, and return it."""
        self.fields.setdefault(str(text), set()).add(name)
        return str(text)

    def coordinate(self, name: str) -> float:
        """Return a latitude or longitude that stands nowhere else."""
        return float(self.planted(name, round(31 + next(_numbers) / 1000 + 0.000073, 6)))

    def address(self, name: str) -> str:
        return self.planted(name, f"203.0.113.{next(_numbers) % 250}")

    def in_text(self, text: str) -> set[str]:
        """Return the marks in a text, whatever blanks a layout has put into them."""
        squeezed = "".join(text.split())
        return {mark for mark in self.fields if mark in squeezed}


@dataclass
class Viewer:
    """Somebody who looks: headers for programs, and the cookie of a page's session."""

    name: str
    headers: dict[str, str]
    cookie: str = ""


class World:
    """Five shipments of one customer, one of another, and what staff have written about them.

    A1 is under way, A2 delivered, A3 booked, A4 under way without a position since; B1 is the other customer's.
    """

    def __init__(self) -> None:
        self.marks = Marks()
        self.organization: Organization = factories.organization()
        Organization.objects.filter(pk=self.organization.pk).update(slug=self.marks.new("Organization.slug"))
        self.customer = factories.customer(self.organization, name="Own Customer")
        self.staff = self._staff("dispatcher")
        self.by = self._key_of_staff()
        self.other_customer = self._other_customer()
        self._plant_shipments()
        self._plant_accounts()
        self._plant_jobs()
        self.viewers = self._viewers()
        while number_batch():
            pass

    # -- accounts -----------------------------------------------------------------------------------------

    def _staff(self, role: str) -> MemberCredentials:
        credentials = create_member_credentials(self.organization, role)
        name = self.marks.planted("AuditEntry.actor_name", self.marks.new("User.name"))
        email = self.marks.new("User.email", "{}@example.test")
        password = make_password(None)
        User.objects.filter(pk=credentials.user.pk).update(name=name, email=email, password=password)
        self.marks.planted("User.password", password)
        for column in ("AuditEntry.actor_id", "ShipmentEvent.actor_id", "Export.owner_id", "Import.owner_id"):
            self.marks.planted(column, credentials.user.pk)
        RefreshFamily.objects.filter(user=credentials.user).update(
            address=self.marks.address("RefreshFamily.address")
        )
        ApiKey.objects.filter(user=credentials.user).update(name=self.marks.new("ApiKey.name"))
        for key in ApiKey.objects.filter(user=credentials.user):
            self.marks.planted("ApiKey.prefix", key.prefix)
            self.marks.planted("ApiKey.digest", bytes(key.digest).hex())
        return credentials

    def _key_of_staff(self) -> Subject:
        """Return the key of staff that writes: its id, its name and the id of its request stand in every event."""
        key = ApiKey.objects.get(user=self.staff.user)
        for column, value in (("key_id", key.pk), ("key_name", key.name)):
            self.marks.planted(f"ShipmentEvent.actor_{column}", value)
        by = replace(self.staff.subject, key_id=key.pk, key_name=key.name)
        request_id = self.marks.planted("ShipmentEvent.request_id", self.marks.new("AuditEntry.request_id"))
        return by.with_request_origin(address=self.marks.address("AuditEntry.address"), request_id=request_id)

    def _other_customer(self) -> Customer:
        return customers.create(
            by=self.by, now=hours(0), name=self.marks.new("Customer.name"),
            email=self.marks.new("Customer.email", "{}@example.test"), phone=self.marks.new("Customer.phone"),
        )  # fmt: skip

    def driver(self, name: str) -> Driver:
        """Store a driver: only its name is for everybody."""
        return drivers.create(
            by=self.by, now=hours(0), name=name, phone=self.marks.new("Driver.phone"),
            license_number=self.marks.new("Driver.license_number"), vehicle=self.marks.new("Driver.vehicle"),
        )  # fmt: skip

    def hide_position(self, driver: Driver, at: datetime) -> None:
        """Report a position that customers may not see."""
        place = self.marks.coordinate("DriverPosition.latitude"), self.marks.coordinate("DriverPosition.longitude")
        factories.report_position(driver, *place, at=at)

    def _plant_accounts(self) -> None:
        key, _ = device_keys.create(
            by=self.by, now=hours(1), driver_id=self.drivers[0].pk, name=self.marks.new("DeviceKey.name")
        )
        self.marks.planted("DeviceKey.prefix", key.prefix)
        self.marks.planted("DeviceKey.digest", bytes(DeviceKey.objects.get(pk=key.pk).digest).hex())
        link, _ = tracking_links.create(by=self.by, now=datetime.now(UTC), reference="A1")
        stored = TrackingLink.objects.get(pk=link.pk)
        self.marks.planted("TrackingLink.prefix", stored.prefix)
        self.marks.planted("TrackingLink.digest", bytes(stored.digest).hex())
        self.marks.planted("TrackingLink.created_by_id", stored.created_by_id)
        ticket, _ = socket_tickets.issue(by=self.staff.subject, now=datetime.now(UTC))
        self.marks.planted("SocketTicket.digest", bytes(tokens.digest(ticket)).hex())
        assert SocketTicket.objects.filter(digest=tokens.digest(ticket)).exists()
        self.names = {
            "device_key_id": [key.pk],
            "link_id": [link.pk],
            "key_id": [ApiKey.objects.get(user=self.staff.user).pk],
        }

    # -- shipments ----------------------------------------------------------------------------------------

    def _plant_shipments(self) -> None:
        self.drivers = [self.driver(f"Driver {number}") for number in range(1, 5)]
        for number, driver in enumerate(self.drivers, 1):
            self._book(
                f"A{number}", driver, customer_id=self.other_customer.pk if number == 1 else self.customer.pk
            )
        self._hand_over_to_customer()
        self._plant_history()
        self._advance("A2", "dispatched", "in_transit", "delivered")
        self._advance("A4", "dispatched", "in_transit")
        self.hide_position(self.drivers[1], at=hours(9))
        self.hide_position(self.drivers[2], at=hours(9))
        self.hide_position(self.drivers[3], at=hours(2.5))
        factories.report_position(self.drivers[0], 52.1, 4.9, at=hours(9))
        self._prove_delivery()
        self._plant_other_shipment()

    def _book(self, reference: str, driver: Driver, **fields: Any) -> None:
        factories.booked_shipment(
            self.by,
            reference=reference,
            now=hours(1),
            driver_id=driver.pk,
            notes=self.marks.new("Shipment.notes"),
            **fields,
        )

    def _hand_over_to_customer(self) -> None:
        self.marks.planted("Customer.name", self.other_customer.pk)
        services.amend(by=self.by, now=hours(1.5), reference="A1", changes={"customer_id": self.customer.pk})

    def _advance(self, reference: str, *states: str) -> None:
        for number, state in enumerate(states):
            services.advance(
                by=self.by, now=hours(2 + number), reference=reference, to=state, note=f"public note {state}",
                reason=self.marks.new("AuditEntry.after"),
            )  # fmt: skip

    def _plant_history(self) -> None:
        by, marks = self.by, self.marks
        self._advance("A1", "dispatched", "in_transit")
        for flag in ("damaged", "temperature"):
            services.open_flag(by=by, now=hours(5), reference="A1", flag=flag, reason=marks.new("Shipment.flags"))
        services.clear_flag(
            by=by, now=hours(5), reference="A1", flag="temperature", reason=marks.new("ShipmentEvent.data")
        )
        services.amend(
            by=by, now=hours(5), reference="A1", changes={"notes": marks.new("Shipment.notes"), "pieces": 4}
        )
        checkpoint, _ = services.observe(
            by=by, now=hours(6), reference="A1",
            observation=services.Observation(
                classifier="ACT", occurred_at=hours(6), source="public source", source_event_id="public-1",
                state="at_facility", location="DEHAM", note="public checkpoint note",
            ),
        )  # fmt: skip
        services.void_checkpoint(
            by=by,
            now=hours(7),
            reference="A1",
            checkpoint_id=checkpoint.pk,
            reason=marks.new("Checkpoint.void_reason"),
        )
        self.checkpoint_id = checkpoint.pk
        wrong = services.advance(by=by, now=hours(7), reference="A1", to="delivered", note="public note")
        services.void_event(
            by=by, now=hours(7), reference="A1", seq=wrong.seq, reason=marks.new("ShipmentEvent.data")
        )
        marks.planted("AuditEntry.before", self.other_customer.pk)  # the customer of the booking

    def _prove_delivery(self) -> None:
        services.record_proof_of_delivery(
            by=self.by, now=hours(9), reference="A2", signer_name=self.marks.new("ProofOfDelivery.signer_name"),
            note=self.marks.new("ProofOfDelivery.note"), signed_at=hours(8),
            pictures={"photo": Picture(_picture(), "image/png", 1, 1, bytes(32))},
        )  # fmt: skip
        self.marks.planted("ProofOfDelivery.actor_id", self.by.user_id)

    def _plant_other_shipment(self) -> None:
        marks = self.marks
        place = Location.objects.create(
            organization=self.organization, name=marks.new("Location.name"), country="NL",
            latitude=marks.coordinate("Location.latitude"), longitude=marks.coordinate("Location.longitude"),
        )  # fmt: skip
        driver = self.driver(marks.new("Driver.name"))
        self.other_reference = marks.new("Shipment.reference")
        self._book(
            self.other_reference, driver, customer_id=self.other_customer.pk, origin=place,
            references={"po": marks.new("Shipment.references")},
        )  # fmt: skip
        self._advance(self.other_reference, "dispatched", "in_transit")
        position = marks.coordinate("Position.latitude"), marks.coordinate("Position.longitude")
        factories.report_position(driver, *position, at=hours(8))
        self.hide_position(driver, at=hours(9))
        marks.planted("AuditEntry.entity_id", self.other_reference)
        self.other_driver = driver

    # -- jobs ---------------------------------------------------------------------------------------------

    def _plant_jobs(self) -> None:
        marks, now = self.marks, datetime.now(UTC)
        by = self.staff.subject.with_request_origin(
            address=marks.address("Export.address"), request_id=marks.new("Export.request_id")
        )
        export = export_jobs.create(
            by=by, now=now, report="shipments", file_format="csv", filters={"q": marks.new("Export.filters")}
        )
        by = self.staff.subject.with_request_origin(
            address=marks.address("Import.address"), request_id=marks.new("Import.request_id")
        )
        table = ImportTable("csv", "", ["Reference"], 1, b"")
        job = import_jobs.create(
            by=by, now=now, table=table, filename=marks.new("Import.filename", "{}.csv"), size=1
        )
        type(job).objects.filter(pk=job.pk).update(header=[marks.new("Import.header")])
        ImportedRow.objects.create(
            import_id=job.pk, row=1, reference=marks.new("ImportedRow.reference"), outcome="failed",
            errors=[{"column": "x", "code": "x", "message": marks.new("ImportedRow.errors")}],
            warnings=[{"column": "x", "code": "x", "message": marks.new("ImportedRow.warnings")}],
        )  # fmt: skip
        self.names |= {"export_id": [export.pk], "import_id": [job.pk]}

    # -- viewers ------------------------------------------------------------------------------------------

    def _viewers(self) -> dict[str, Viewer]:
        customer = create_member_credentials(self.organization, "customer", customer=self.customer)
        admin, auditor = self._staff("admin"), self._staff("auditor")
        _, by_staff = tracking_links.create(by=self.by, now=datetime.now(UTC), reference="A1")
        _, by_customer = tracking_links.create(by=customer.subject, now=datetime.now(UTC), reference="A1")
        members = {"customer": customer, "admin": admin, "auditor": auditor, "dispatcher": self.staff}
        viewers = {
            name: Viewer(name, {"Authorization": each.bearer()}, each.cookie) for name, each in members.items()
        }
        key, secret = api_keys.create(
            by=customer.subject, now=datetime.now(UTC), name="own key", scopes=["shipments:read", "exports:read"]
        )
        viewers["customer's key"] = Viewer("customer's key", {"Authorization": f"Bearer {secret}"})
        for name, token in (("link of staff", by_staff), ("link of the customer", by_customer)):
            viewers[name] = Viewer(name, {"Authorization": f"Bearer {token}"})
        assert key.pk
        return viewers

    def run_of_staff(self, http: httpx.Client) -> None:
        """Leave behind what staff's requests and orders leave: runs, audit entries, the answer of a write."""
        while export_worker.work_batch():
            pass
        headers = self.viewers["dispatcher"].headers
        http.get("/api/exports/shipments.csv", headers=headers)
        self.marks.planted("Run.actor", self.staff.user.pk)
        notes = self.marks.planted("IdempotencyKey.body", self.marks.new("Shipment.notes"))
        written = http.patch(
            "/api/shipments/A3", json={"notes": notes},
            headers={**headers, "If-Match": "*", "Idempotency-Key": self.marks.new("IdempotencyKey.key")},
        )  # fmt: skip
        assert written.status_code == 200, written.text
