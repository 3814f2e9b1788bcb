"""Test data, written through the services that the product uses."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shipments import services
from shipments.auth import bearers, subjects
from shipments.auth.subjects import Subject
from shipments.models import Customer, Driver, Location, Membership, Organization, Shipment, User
from shipments.selectors import epoch
from shipments.services.history import generations
from shipments.services.shipments import tracking_links

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PASSWORD = "a-long-demo-password"
_numbers = itertools.count(1)


def organization(name: str = "Acme Freight") -> Organization:
    """Store an organisation with a slug of its own."""
    return Organization.objects.create(name=name, slug=f"o{uuid.uuid4().hex[:20]}", created_at=NOW)


def user(organization: Organization, role: str, *, password: str | None = None, **links: Any) -> User:
    """Store a user with a membership; the roles driver and customer get a driver or customer of their own."""
    if role == "driver" and "driver" not in links:
        links["driver"] = driver(organization)
    if role == "customer" and "customer" not in links:
        links["customer"] = customer(organization)
    person = User(email=f"{role}-{uuid.uuid4().hex[:12]}@example.test", name=role.title())
    # A real hash costs 50 ms: only tests that log in pay it.
    if password is None:
        person.set_unusable_password()
    else:
        person.set_password(password)
    person.save()
    Membership.objects.create(user=person, organization=organization, role=role, **links)
    return person


def member(organization: Organization, role: str, **links: Any) -> Subject:
    """Return the subject of a fresh member."""
    subject = subjects.subject_of_user(user(organization, role, **links))
    assert subject is not None
    return subject


def customer(organization: Organization, name: str = "Northwind Traders") -> Customer:
    """Store a customer account."""
    return Customer.objects.create(organization=organization, name=name, created_at=NOW, updated_at=NOW)


def driver(organization: Organization, name: str = "Dana Driver", phone: str = "+31 6 1234 5678") -> Driver:
    """Store a driver."""
    return Driver.objects.create(organization=organization, name=name, phone=phone, created_at=NOW, updated_at=NOW)


def location(locode: str, name: str, country: str, latitude: float, longitude: float) -> Location:
    """Store a UN/LOCODE place unless it is there."""
    stored, _ = Location.objects.get_or_create(
        organization=None,
        locode=locode,
        defaults={"name": name, "country": country, "latitude": latitude, "longitude": longitude},
    )
    return stored


def booked_shipment(by: Subject, *, reference: str | None = None, now: datetime = NOW, **fields: Any) -> Shipment:
    """Book a shipment Rotterdam → Hamburg, in status `booked` unless `fields` say another."""
    location("NLRTM", "Rotterdam", "NL", 51.9167, 4.5)
    location("DEHAM", "Hamburg", "DE", 53.55, 10.0)
    return services.book(
        by=by,
        now=now,
        reference=reference or f"T-{next(_numbers):06d}-{uuid.uuid4().hex[:6]}",
        **({"origin": "NLRTM", "destination": "DEHAM", "status": "booked"} | fields),
    )


def report_position(driver: Driver, latitude: float, longitude: float, at: datetime = NOW) -> None:
    """Report where a driver is, as the system does."""
    services.record_position(
        by=subjects.system_subject(driver.organization_id, name="tests"),
        now=at,
        fix=services.Fix(driver.pk, latitude, longitude, at),
    )


def delivered_shipment(by: Subject, **fields: Any) -> Shipment:
    """Book a shipment, and deliver it 2 hours later."""
    shipment = booked_shipment(by, **fields)
    for hours, state in enumerate(("dispatched", "in_transit", "delivered")):
        shipment = services.advance(by=by, now=NOW + timedelta(hours=hours), reference=shipment.reference, to=state)
    return shipment


def tracking_link_subject(by: Subject, reference: str) -> Subject:
    """Return the subject of the token of a fresh tracking link."""
    _, token = tracking_links.create(by=by, now=NOW, reference=reference)
    subject = bearers.authenticate(token, now=NOW)
    assert subject is not None
    return subject


def new_epoch() -> str:
    """Begin a new epoch, as after a restore, and return it; this process knows it at once."""
    generations.begin_generation(by=subjects.installation_subject(name="test"), now=NOW, reason="test")
    return epoch.read()
