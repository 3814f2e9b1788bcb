"""Door: who is asking, and what that subject may do. One place for REST, sockets, exports and the admin."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q

from ratelimits import limiter
from shipments import tokens
from shipments.models import ApiKey, DeviceKey, Driver, Membership, Role, TrackingLink, User
from shipments.querysets import LinkQuerySet
from shipments.querysets import Sight as Sight  # upper rooms come in by this door
from shipments.tokens import Claims

SCOPES: Final = (
    "shipments:read",
    "shipments:write",
    "exports:read",
    "billing:read",
    "billing:write",
    "ai:use",
    "audit:read",
    "metrics:read",
)
STAFF_ROLES: Final = frozenset({Role.ADMIN.value, Role.DISPATCHER.value})
# Roles that see every shipment of their organisation.
OVERSEERS: Final = STAFF_ROLES | {Role.AUDITOR.value}
# Roles of those who are no members: whoever follows a tracking link, and the phone that reports a driver's way.
TRACKING: Final = "tracking"
DEVICE: Final = "device"
# To read what one may see; to follow one shipment is less, and all that a tracking link is good for.
_READ: Final = frozenset({"shipments:read", "shipment:follow"})
_STAFF: Final = frozenset(
    {"shipments:write", "checkpoints:write", "exports:read", "links:read", "links:write", "devices:write"}
)
# What each role may do; a key narrows it further by its scopes.
PERMISSIONS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"shipments:write", "checkpoints:write", "positions:write"}),
    Role.ADMIN: _READ | _STAFF | {"audit:read", "accounts:write"},
    Role.DISPATCHER: _READ | _STAFF,
    Role.DRIVER: _READ | {"checkpoints:write", "positions:write", "devices:write"},
    Role.CUSTOMER: _READ | {"exports:read", "links:read", "links:write"},
    Role.AUDITOR: _READ | {"exports:read", "audit:read", "links:read"},
    TRACKING: frozenset({"shipment:follow"}),
    DEVICE: frozenset({"positions:write"}),
}
# The scope of a key that a permission needs, where the two are not called the same.
_SCOPE_OF: Final[Mapping[str, str]] = {
    "shipment:follow": "shipments:read",
    "checkpoints:write": "shipments:write",
    "positions:write": "shipments:write",
    "links:read": "shipments:read",
    "links:write": "shipments:write",
    "devices:write": "shipments:write",
}
_KEY_TOUCH: Final = timedelta(minutes=1)


# Asked with every request: compiling it from the ORM would take longer than asking it. For `of_login`.
LOGINS: Final = """
SELECT login.id, person.id, person.authz_version, member.organization_id, member.role,
       COALESCE(NULLIF(person.name, ''), person.email), member.customer_id, member.driver_id, person.is_staff,
       person.access_version
FROM shipments_refreshfamily login
JOIN shipments_user person ON person.id = login.user_id
JOIN shipments_membership member ON member.user_id = person.id
WHERE login.id = ANY(%s) AND login.revoked_at IS NULL AND person.is_active
"""


class Forbidden(Exception):
    """The subject may see the thing but not do this with it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whoever acts: a person, a key or the system itself, in one organisation, from one address."""

    organization_id: uuid.UUID
    role: str
    user_id: uuid.UUID | None = None
    name: str = ""
    customer_id: uuid.UUID | None = None
    driver_id: uuid.UUID | None = None
    shipment_id: uuid.UUID | None = None  # the one that a tracking link opens
    is_staff: bool = False
    scopes: frozenset[str] | None = None  # None: a person, whom the role alone bounds
    key_id: uuid.UUID | None = None
    key_name: str = ""
    link_id: uuid.UUID | None = None
    login_id: uuid.UUID | None = None
    authz_version: int = 0
    access_version: int = 0
    expires_at: datetime | None = None
    address: str | None = None
    request_id: str = ""
    session_key: str | None = field(default=None, repr=False)

    @property
    def sight(self) -> Sight:
        """What decides which shipments it sees."""
        return Sight.of(self)

    @property
    def limit_key(self) -> str:
        """The name under which a rate limit counts this subject; of a link, in many hands, each address."""
        if self.link_id:
            return f"link:{self.link_id}@{limiter.address_key(self.address)}"
        return f"key:{self.key_id}" if self.key_id else f"user:{self.user_id}"

    @property
    def variant(self) -> str:
        """The visibility variant of what it is shown: `staff`, or `restricted` (no phones, no notes)."""
        return "restricted" if self.role in {Role.CUSTOMER, TRACKING} else "staff"

    @property
    def oversees(self) -> bool:
        """Whether it sees every shipment of its organisation."""
        return self.role in OVERSEERS

    def may(self, permission: str) -> bool:
        """This will tell whether the role, and the key's scopes where there is one, allow it."""
        if permission == "metrics:read":
            return self.is_staff if self.scopes is None else permission in self.scopes
        if permission not in PERMISSIONS.get(self.role, frozenset()):
            return False
        return self.scopes is None or _SCOPE_OF.get(permission, permission) in self.scopes

    def require(self, permission: str) -> None:
        """This will raise Forbidden unless it may."""
        if not self.may(permission):
            raise Forbidden(f"The role {self.role} may not do this (needs {permission}).")

    @property
    def grantable(self) -> frozenset[str]:
        """The scopes that it may give to a key: an administrator all, others what their role does anyway."""
        if self.role == Role.ADMIN:
            return frozenset(SCOPES)
        return PERMISSIONS.get(self.role, frozenset()) & frozenset(SCOPES)

    def at(self, *, address: str | None, request_id: str) -> Self:
        """This will return the same subject acting from an address in one request."""
        return replace(self, address=address, request_id=request_id)


def system(organization_id: uuid.UUID, *, name: str) -> Subject:
    """This will return the subject that a command or worker acts as."""
    return Subject(organization_id=organization_id, role="system", name=name)


def installation(*, name: str) -> Subject:
    """This will return the subject of a command that concerns the whole installation."""
    return Subject(organization_id=None, role="system", name=name)  # type: ignore[arg-type]  # it reads no rows


def nobody(*, name: str, organization_id: uuid.UUID | None, address: str | None, request_id: str) -> Subject:
    """This will return the subject of a failed attempt to log in: it may nothing, and the audit names it.

    Without an organisation the entry concerns the whole installation.
    """
    return Subject(
        organization_id=organization_id,  # type: ignore[arg-type]  # only here: nobody reads rows by it
        role="nobody",
        name=name,
        address=address,
        request_id=request_id,
    )


def of_user(
    user: User,
    *,
    scopes: frozenset[str] | None = None,
    key_id: uuid.UUID | None = None,
    key_name: str = "",
    login_id: uuid.UUID | None = None,
    expires_at: datetime | None = None,
    session_key: str | None = None,
) -> Subject | None:
    """This will return the subject that a user acts as, None where it is inactive or belongs nowhere.

    One query unless `membership` was fetched with the user.
    """
    try:
        membership = user.membership
    except Membership.DoesNotExist:
        return None
    if not user.is_active:
        return None
    return Subject(
        organization_id=membership.organization_id,
        role=membership.role,
        user_id=user.pk,
        name=user.name or user.email,
        customer_id=membership.customer_id,
        driver_id=membership.driver_id,
        is_staff=user.is_staff,
        scopes=scopes,
        key_id=key_id,
        key_name=key_name,
        login_id=login_id,
        authz_version=user.authz_version,
        access_version=user.access_version,
        expires_at=expires_at,
        session_key=session_key,
    )


def authenticate_token(raw: str, *, now: datetime) -> Subject | None:
    """This will return the subject of an access token, API key or tracking link, None where it is not good.

    One query; role, account and login are today's, not those of the moment when the token was made.
    """
    if raw.startswith(tokens.API_KEY_PREFIX):
        return _of_key(raw, now)
    if raw.startswith(tokens.TRACKING_PREFIX):
        return of_link(TrackingLink.objects.filter(digest=tokens.digest(raw)), now=now)
    claims = claims_of(raw, now=now)
    if claims is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(LOGINS, [[claims.login_id]])
        return of_login(claims, cursor.fetchone())


def is_secret(raw: str) -> bool:
    """This will tell whether it looks like an API key or tracking link; anything else may be an access token."""
    return raw.startswith((tokens.API_KEY_PREFIX, tokens.TRACKING_PREFIX))


def claims_of(raw: str, *, now: datetime) -> Claims | None:
    """This will return what an access token says, None where it is not good. No query: see `of_login`."""
    try:
        return tokens.verify_access(raw, now)
    except tokens.BadToken:
        return None


def of_login(claims: Claims, row: Sequence[Any] | None) -> Subject | None:
    """This will return the subject of an access token by its login's row of LOGINS, None where it is not good."""
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


def of_key(key: ApiKey) -> Subject | None:
    """This will return the subject of a key that is good, None where its owner is not (any more)."""
    subject = of_user(
        key.user, scopes=frozenset(key.scopes), key_id=key.pk, key_name=key.name, expires_at=key.expires_at
    )
    return subject if subject is not None and subject.organization_id == key.organization_id else None


def _of_key(raw: str, now: datetime) -> Subject | None:
    key = (
        ApiKey.objects.select_related("user__membership")
        .filter(Q(expires_at=None) | Q(expires_at__gt=now), digest=tokens.digest(raw), revoked_at=None)
        .first()
    )
    subject = of_key(key) if key else None
    if key is None or subject is None:
        return None
    _touch(key, now)
    return subject


def authenticate_device(raw: str, *, now: datetime) -> Subject | None:
    """This will return the subject of a phone's key, which reports positions of its driver and nothing else.

    A door of its own: such a key stands in URLs, so nothing else takes it. None where it is not good.
    """
    key = (
        DeviceKey.objects.exclude(driver__status=Driver.Status.INACTIVE)
        .filter(digest=tokens.digest(raw), revoked_at=None)
        .first()
    )
    if key is None:
        return None
    _touch(key, now)
    return Subject(
        organization_id=key.organization_id, role=DEVICE, name=key.name, driver_id=key.driver_id, key_id=key.pk
    )


def of_link(links: LinkQuerySet, *, now: datetime) -> Subject | None:
    """This will return the subject of the one link that is looked for, None where it is not good (any more)."""
    # What a customer gave away ends with its own right to see the shipment.
    granted = Q(customer=None) | Q(customer=F("shipment__customer"))
    link = links.filter(granted, revoked_at=None, expires_at__gt=now, shipment__deleted_at=None).first()
    if link is None:
        return None
    return Subject(
        organization_id=link.organization_id,
        role=TRACKING,
        name=f"tracking link {link.prefix}…",
        shipment_id=link.shipment_id,
        link_id=link.pk,
        expires_at=link.expires_at,
    )


def _touch(key: ApiKey | DeviceKey, now: datetime) -> None:
    """This will note the use of a key; a database that takes no writes must not stop a read."""
    if key.last_used_at is not None and key.last_used_at > now - _KEY_TOUCH:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _KEY_TOUCH)
    with suppress(DatabaseError), transaction.atomic():
        type(key).objects.filter(stale, pk=key.pk).update(last_used_at=now)
