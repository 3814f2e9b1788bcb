"""The rows that a drill begins with: an organisation of its own, its members, and the locations that it uses."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.models import Location, Membership, Organization, User
from shipments.services.accounts import api_keys

_LOCATIONS: Final = (("NLRTM", "Rotterdam", "NL", 51.9167, 4.5), ("DEHAM", "Hamburg", "DE", 53.55, 10.0))


def locations() -> None:
    """Store the UN/LOCODE locations of the drills' shipments unless they exist."""
    for locode, name, country, latitude, longitude in _LOCATIONS:
        Location.objects.get_or_create(
            locode=locode,
            defaults={"name": name, "country": country, "latitude": latitude, "longitude": longitude},
        )


def organization() -> Organization:
    """Store an organisation that no other drill knows."""
    slug = f"drill-{uuid.uuid4().hex[:12]}"
    return Organization.objects.create(name="Drill", slug=slug, created_at=datetime.now(UTC))


def dispatcher(organization: Organization) -> Subject:
    """Store a dispatcher of an organisation, who cannot log in."""
    user = User(email=f"drill-{uuid.uuid4().hex[:12]}@drill.test", name="Drill")
    user.set_unusable_password()
    user.save()
    Membership.objects.create(user=user, organization=organization, role="dispatcher")
    by = subjects.subject_of_user(user)
    if by is None:
        raise RuntimeError("A fresh member has no subject.")
    return by


def dispatcher_with_key(organization: Organization, scopes: Sequence[str]) -> tuple[Subject, str]:
    """Store a dispatcher, and return it with the secret of an API key of those scopes."""
    by = dispatcher(organization)
    return by, api_keys.create(by=by, now=datetime.now(UTC), name="drill", scopes=scopes)[1]


def administrator(organization: Organization) -> dict[str, str]:
    """Store an administrator who can log in, and return the credentials."""
    credentials = {"email": "admin@drill.test", "password": secrets.token_urlsafe(24)}
    user = User(email=credentials["email"], name="Administrator")
    user.set_password(credentials["password"])
    user.save()
    Membership.objects.create(user=user, organization=organization, role="admin")
    return credentials
