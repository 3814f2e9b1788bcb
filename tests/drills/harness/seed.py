"""What the stage's database holds before the first row: tables, one organisation, and people with keys."""

import json
import secrets
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from django.core.management import call_command
from django.db import connection, transaction

from shipments.auth import subjects
from shipments.models import Location, Membership, Organization, User
from shipments.services.accounts import api_keys

# Sockets are limited by user.
DISPATCHERS: Final = 30
_SCOPES: Final = ("shipments:read", "shipments:write")
_PLACES: Final = (("NLRTM", "Rotterdam", "NL", 51.9167, 4.5), ("DEHAM", "Hamburg", "DE", 53.55, 10.0))


def seed(target: Path) -> None:
    """Make the tables and the organisation, and write who may enter into a file of the stage."""
    call_command("migrate", verbosity=0, interactive=False)
    now = datetime.now(UTC)
    with transaction.atomic():
        for locode, name, country, latitude, longitude in _PLACES:
            Location.objects.get_or_create(
                locode=locode,
                defaults={"name": name, "country": country, "latitude": latitude, "longitude": longitude},
            )
        organization = Organization.objects.create(
            name="Drill", slug=f"drill-{uuid.uuid4().hex[:12]}", created_at=now
        )
        keys = [_create_dispatcher(organization, number, now) for number in range(DISPATCHERS)]
        administrator = _create_administrator(organization)
    connection.close()
    temporary = target.with_suffix(".new")
    temporary.touch(mode=0o600)
    contents = {"organization": str(organization.pk), "keys": keys, "administrator": administrator}
    temporary.write_text(json.dumps(contents))
    temporary.rename(target)


def _create_dispatcher(organization: Organization, number: int, now: datetime) -> str:
    user = User(email=f"dispatcher-{number}@drill.test", name=f"Dispatcher {number}")
    user.set_unusable_password()
    user.save()
    Membership.objects.create(user=user, organization=organization, role="dispatcher")
    subject = subjects.subject_of_user(user)
    if subject is None:
        raise RuntimeError("A fresh member is nobody.")
    return api_keys.create(by=subject, now=now, name=f"drill {number}", scopes=_SCOPES)[1]


def _create_administrator(organization: Organization) -> dict[str, str]:
    """Make somebody who can log in, and return with what."""
    credentials = {"email": "admin@drill.test", "password": secrets.token_urlsafe(24)}
    user = User(email=credentials["email"], name="Administrator")
    user.set_password(credentials["password"])
    user.save()
    Membership.objects.create(user=user, organization=organization, role="admin")
    return credentials
