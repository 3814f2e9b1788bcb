"""Authentication by bearer secret: access tokens, API keys, device keys and tracking links."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q

from shipments.auth import tokens
from shipments.auth.subjects import DEVICE_ROLE, TRACKING_ROLE, Subject, subject_of_user
from shipments.auth.tokens import Claims
from shipments.models import ApiKey, DeviceKey, Driver, TrackingLink
from shipments.querysets import LinkQuerySet

_LAST_USED_INTERVAL: Final = timedelta(minutes=1)
# Runs with every request: compiling it with the ORM would take longer than the query. See `subject_of_login`.
LOGINS_SQL: Final = """
SELECT login.id, person.id, person.authz_version, member.organization_id, member.role,
       COALESCE(NULLIF(person.name, ''), person.email), member.customer_id, member.driver_id, person.is_staff,
       person.access_version
FROM shipments_refreshfamily login
JOIN shipments_user person ON person.id = login.user_id
JOIN shipments_membership member ON member.user_id = person.id
WHERE login.id = ANY(%s) AND login.revoked_at IS NULL AND person.is_active
"""


def authenticate(raw: str, *, now: datetime) -> Subject | None:
    """Return the subject of an access token, API key or tracking link, None where it is not valid.

    One query: role, account and login are the current ones, not those at the time the token was issued.
    """
    if raw.startswith(tokens.API_KEY_PREFIX):
        return _authenticate_api_key(raw, now)
    if raw.startswith(tokens.TRACKING_PREFIX):
        return subject_of_link(TrackingLink.objects.filter(digest=tokens.digest(raw)), now=now)
    claims = verify_claims(raw, now=now)
    if claims is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(LOGINS_SQL, [[claims.login_id]])
        return subject_of_login(claims, cursor.fetchone())


def is_opaque_token(raw: str) -> bool:
    """Tell whether the text is shaped like an API key or tracking link; any other may be an access token."""
    return raw.startswith((tokens.API_KEY_PREFIX, tokens.TRACKING_PREFIX))


def verify_claims(raw: str, *, now: datetime) -> Claims | None:
    """Return the claims of an access token, None where it is not valid. No query: see `subject_of_login`."""
    try:
        return tokens.verify_access(raw, now)
    except tokens.InvalidToken:
        return None


def subject_of_login(claims: Claims, row: Sequence[Any] | None) -> Subject | None:
    """Return the subject of an access token by its login's row of LOGINS_SQL, None where it is no longer valid."""
    if row is None or tuple(row[:3]) != (claims.login_id, claims.user_id, claims.version):
        return None
    organization_id, role, name, customer_id, driver_id, is_staff, access_version = row[3:]
    return Subject(
        organization_id=organization_id,
        role=role,
        user_id=claims.user_id,
        name=name,
        customer_id=customer_id,
        driver_id=driver_id,
        is_staff=is_staff,
        login_id=claims.login_id,
        authz_version=claims.version,
        access_version=access_version,
        expires_at=claims.expires_at,
    )


def subject_of_api_key(key: ApiKey) -> Subject | None:
    """Return the subject of a usable key, None where its owner is inactive or has left the organisation."""
    subject = subject_of_user(
        key.user, scopes=frozenset(key.scopes), key_id=key.pk, key_name=key.name, expires_at=key.expires_at
    )
    return subject if subject is not None and subject.organization_id == key.organization_id else None


def _authenticate_api_key(raw: str, now: datetime) -> Subject | None:
    keys = ApiKey.objects.select_related("user__membership").usable(now)
    key = keys.filter(digest=tokens.digest(raw)).first()
    subject = subject_of_api_key(key) if key else None
    if key is None or subject is None:
        return None
    _record_use(key, now)
    return subject


def authenticate_device(raw: str, *, now: datetime) -> Subject | None:
    """Return the subject of a device key, which may only report its driver's positions; None where it is not valid.

    Kept apart from `authenticate`: such a key appears in URLs, so no other endpoint accepts it.
    """
    key = (
        DeviceKey.objects.exclude(driver__status=Driver.Status.INACTIVE)
        .filter(digest=tokens.digest(raw), revoked_at=None)
        .first()
    )
    if key is None:
        return None
    _record_use(key, now)
    return Subject(
        organization_id=key.organization_id, role=DEVICE_ROLE, name=key.name, driver_id=key.driver_id, key_id=key.pk
    )


def subject_of_link(links: LinkQuerySet, *, now: datetime) -> Subject | None:
    """Return the subject of the first of these links that is still valid, None where none is."""
    # A customer's link ends with the customer's own right to see the shipment.
    link_still_granted = Q(customer=None) | Q(customer=F("shipment__customer"))
    link = links.filter(link_still_granted, revoked_at=None, expires_at__gt=now, shipment__deleted_at=None).first()
    if link is None:
        return None
    return Subject(
        organization_id=link.organization_id,
        role=TRACKING_ROLE,
        name=f"tracking link {link.prefix}…",
        shipment_id=link.shipment_id,
        link_id=link.pk,
        expires_at=link.expires_at,
    )


def _record_use(key: ApiKey | DeviceKey, now: datetime) -> None:
    """Store when a key was used, at most once a minute; a database that refuses writes must not fail a read."""
    if key.last_used_at is not None and key.last_used_at > now - _LAST_USED_INTERVAL:
        return
    not_recently_used = Q(last_used_at=None) | Q(last_used_at__lte=now - _LAST_USED_INTERVAL)
    with suppress(DatabaseError), transaction.atomic():
        type(key).objects.filter(not_recently_used, pk=key.pk).update(last_used_at=now)
