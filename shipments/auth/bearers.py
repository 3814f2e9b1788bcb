"""Door: whom a token, key or link stands for, as account, role and login are today."""

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
# Asked with every request: compiling it from the ORM would take longer than asking it. For `of_login`.
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
    """Return the subject of an access token, API key or tracking link, None where it is not good.

    One query; role, account and login are today's, not those of the moment when the token was made.
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
    """Tell whether it looks like an API key or tracking link; anything else may be an access token."""
    return raw.startswith((tokens.API_KEY_PREFIX, tokens.TRACKING_PREFIX))


def verify_claims(raw: str, *, now: datetime) -> Claims | None:
    """Return what an access token says, None where it is not good. No query: see `of_login`."""
    try:
        return tokens.verify_access(raw, now)
    except tokens.InvalidToken:
        return None


def subject_of_login(claims: Claims, row: Sequence[Any] | None) -> Subject | None:
    """Return the subject of an access token by its login's row of LOGINS, None where it is not good."""
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
    """Return the subject of a key that is good, None where its owner is not (any more)."""
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
    """Return the subject of a phone's key, which reports positions of its driver and nothing else.

    A door of its own: such a key stands in URLs, so nothing else takes it. None where it is not good.
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
    """Return the subject of the one link that is looked for, None where it is not good (any more)."""
    # What a customer gave away ends with its own right to see the shipment.
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
    """Note the use of a key; a database that takes no writes must not stop a read."""
    if key.last_used_at is not None and key.last_used_at > now - _LAST_USED_INTERVAL:
        return
    not_recently_used = Q(last_used_at=None) | Q(last_used_at__lte=now - _LAST_USED_INTERVAL)
    with suppress(DatabaseError), transaction.atomic():
        type(key).objects.filter(not_recently_used, pk=key.pk).update(last_used_at=now)
