"""Subjects and their permissions, for REST, WebSockets, exports and the admin alike."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Final, Self

from ratelimits import limiter
from shipments.models import Membership, Role, User
from shipments.querysets import VisibilityScope as VisibilityScope  # for upper apps, too

# What each scope of an API key allows, within the role of its owner.
SCOPE_MEANINGS: Final[Mapping[str, str]] = {
    "shipments:read": "read shipments, drivers and customers, their events and documents, and follow them live",
    "shipments:write": "book, change and advance shipments, report checkpoints, manage drivers and customers",
    "positions:write": "report the positions of drivers, and make and revoke the device keys of their phones",
    "exports:read": "make and download exports",
    "billing:read": "read quotes and invoices",
    "billing:write": "make quotes and invoices",
    "ai:use": "use the assistant",
    "audit:read": "read the audit log",
    "metrics:read": "read the metrics of the installation; only for keys of its staff",
}
SCOPES: Final = tuple(SCOPE_MEANINGS)
# Of the whole installation and not of one organisation: only keys of its staff (`User.is_staff`) have them.
STAFF_SCOPES: Final = frozenset({"metrics:read"})
STAFF_ROLES: Final = frozenset({Role.ADMIN.value, Role.DISPATCHER.value})
# Roles that see every shipment of their organisation.
ORGANIZATION_WIDE_ROLES: Final = STAFF_ROLES | {Role.AUDITOR.value}
# Roles of subjects that are no members: a tracking link, and the phone that reports a driver's positions.
TRACKING_ROLE: Final = "tracking"
DEVICE_ROLE: Final = "device"
# A superuser in the admin, who acts in every organisation as the person that it is. Elsewhere it acts as the member
# that it is, if any.
SUPERUSER_ROLE: Final = "superuser"
# `shipments:read` covers all that is visible; `shipment:follow` one shipment, which is all a tracking link has.
_READ_PERMISSIONS: Final = frozenset({"shipments:read", "shipment:follow"})
_STAFF_PERMISSIONS: Final = frozenset(
    {
        "shipments:write", "checkpoints:write", "exports:read", "links:read", "links:write", "devices:write",
        "fleet_positions:write",
    }
)  # fmt: skip
# Only API keys have these: a telematics system reports the positions of all drivers, a person of none.
_KEY_PERMISSIONS: Final = frozenset({"fleet_positions:write"})
# The permissions of each role; the scopes of an API key restrict them further.
PERMISSIONS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"shipments:write", "checkpoints:write", "positions:write"}),
    SUPERUSER_ROLE: _READ_PERMISSIONS | _STAFF_PERMISSIONS | {"audit:read", "accounts:write", "checkpoints:write"},
    Role.ADMIN: _READ_PERMISSIONS | _STAFF_PERMISSIONS | {"audit:read", "accounts:write"},
    Role.DISPATCHER: _READ_PERMISSIONS | _STAFF_PERMISSIONS,
    Role.DRIVER: _READ_PERMISSIONS | {"checkpoints:write", "positions:write", "devices:write"},
    Role.CUSTOMER: _READ_PERMISSIONS | {"exports:read", "links:read", "links:write"},
    Role.AUDITOR: _READ_PERMISSIONS | {"exports:read", "audit:read", "links:read"},
    TRACKING_ROLE: frozenset({"shipment:follow"}),
    DEVICE_ROLE: frozenset({"positions:write"}),
}
# The scope that a key needs for a permission, where the two have different names.
_SCOPE_BY_PERMISSION: Final[Mapping[str, str]] = {
    "shipment:follow": "shipments:read",
    "checkpoints:write": "shipments:write",
    "fleet_positions:write": "positions:write",
    "links:read": "shipments:read",
    "links:write": "shipments:write",
    "devices:write": "positions:write",
}
# A wider scope that serves, too: keys of drivers from before there was `positions:write`.
_WIDER_SCOPES: Final[Mapping[str, str]] = {"positions:write": "shipments:write"}


class Forbidden(Exception):
    """The subject may see the object but lacks the permission for this act."""


class InsufficientScope(Forbidden):
    """The role may do it, but the API key lacks the scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key lacks the scope {scope}.")
        self.scope = scope


class PersonRequired(Forbidden):
    """Only a person who has logged in may do it."""


class AccountLevel(IntEnum):
    """How much an account reaches; a subject acts on accounts of at most its own level."""

    MEMBER = 0  # one organisation, whatever its role there
    STAFF = 1  # the admin site and the metrics of the installation
    SUPERUSER = 2  # everything; also the commands of those who run the installation

    @classmethod
    def of(cls, user: User) -> "AccountLevel":
        """Return the level of a user."""
        if user.is_superuser:
            return cls.SUPERUSER
        return cls.STAFF if user.is_staff else cls.MEMBER


@dataclass(frozen=True, slots=True)
class Subject:
    """The acting person, API key or system process, in one organisation, from one address."""

    organization_id: uuid.UUID
    role: str
    user_id: uuid.UUID | None = None
    name: str = ""
    customer_id: uuid.UUID | None = None
    driver_id: uuid.UUID | None = None
    shipment_id: uuid.UUID | None = None  # of a tracking link: the only one it opens
    is_staff: bool = False
    scopes: frozenset[str] | None = None  # None for a person: only the role counts
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
    def visibility_scope(self) -> VisibilityScope:
        """The part of the subject that decides which shipments it sees."""
        return VisibilityScope.of(self)

    @property
    def limit_key(self) -> str:
        """The key under which rate limits count this subject; a tracking link is counted for each address."""
        if self.link_id:
            return f"link:{self.link_id}@{limiter.address_key(self.address)}"
        return f"key:{self.key_id}" if self.key_id else f"user:{self.user_id}"

    @property
    def shared_limit_key(self) -> str | None:
        """The key under which rate limits count all API keys of its user together; None for other credentials."""
        return f"keys:{self.user_id}" if self.key_id and self.user_id else None

    @property
    def variant(self) -> str:
        """The variant of JSON that it is shown: `staff`, or `restricted` (no phones, no notes)."""
        return "restricted" if self.role in {Role.CUSTOMER, TRACKING_ROLE} else "staff"

    @property
    def runs_installation(self) -> bool:
        """Whether it is a command of the installation, or a superuser in the admin."""
        return self.role in {"system", SUPERUSER_ROLE}

    @property
    def reports_all_drivers(self) -> bool:
        """Whether it reports the positions of every driver of its organisation: the system, or an API key."""
        return self.role == "system" or self.has_permission("fleet_positions:write")

    @property
    def level(self) -> AccountLevel:
        """The highest level of the accounts on which it may act: outside of the admin a superuser's is STAFF."""
        if self.runs_installation:
            return AccountLevel.SUPERUSER
        return AccountLevel.STAFF if self.is_staff else AccountLevel.MEMBER

    @property
    def sees_all_shipments(self) -> bool:
        """Whether it sees every shipment of its organisation."""
        return self.role in ORGANIZATION_WIDE_ROLES

    def has_permission(self, permission: str) -> bool:
        """Tell whether the role, or being staff, and the scopes of an API key include the permission."""
        if not self._role_includes(permission):
            return False
        if self.scopes is None:
            return permission not in _KEY_PERMISSIONS
        scope = _SCOPE_BY_PERMISSION.get(permission, permission)
        return scope in self.scopes or _WIDER_SCOPES.get(permission) in self.scopes

    def require(self, permission: str) -> None:
        """Raise Forbidden unless the subject has the permission; InsufficientScope where a key lacks its scope."""
        if self.has_permission(permission):
            return
        if self.scopes is not None and self._role_includes(permission):
            raise InsufficientScope(_SCOPE_BY_PERMISSION.get(permission, permission))
        raise Forbidden(f"The role {self.role} may not do this (needs {permission}).")

    def _role_includes(self, permission: str) -> bool:
        return (
            self.is_staff if permission in STAFF_SCOPES else permission in PERMISSIONS.get(self.role, frozenset())
        )

    def require_person(self) -> uuid.UUID:
        """Return the user's id; raise PersonRequired for a key or link: a stolen one must not make others."""
        if self.user_id is None or self.scopes is not None:
            raise PersonRequired("Keys are managed by people who have logged in, not by keys or links.")
        return self.user_id

    @property
    def grantable_scopes(self) -> frozenset[str]:
        """The scopes that it may give to a key: an administrator all, others their role's; staff those of staff."""
        permissions = PERMISSIONS.get(self.role, frozenset())
        scopes = frozenset(SCOPES) if self.role == Role.ADMIN else permissions
        if not permissions.isdisjoint(_KEY_PERMISSIONS):
            scopes |= {_SCOPE_BY_PERMISSION[each] for each in permissions & _KEY_PERMISSIONS}
        return (scopes & frozenset(SCOPES) - STAFF_SCOPES) | (STAFF_SCOPES if self.is_staff else frozenset())

    def with_request_origin(self, *, address: str | None, request_id: str) -> Self:
        """Return the subject with the address and id of one request."""
        return replace(self, address=address, request_id=request_id)


def system_subject(organization_id: uuid.UUID, *, name: str) -> Subject:
    """Return the subject as which a command or worker acts in an organisation."""
    return Subject(organization_id=organization_id, role="system", name=name)


def superuser_subject(user: User, organization_id: uuid.UUID | None) -> Subject:
    """Return the subject as which a superuser acts in the admin; without an organisation, on the installation."""
    return Subject(
        organization_id=organization_id,  # type: ignore[arg-type]  # without one it reads no rows
        role=SUPERUSER_ROLE,
        user_id=user.pk,
        name=user.name or user.email,
        is_staff=True,
    )


def installation_subject(*, name: str) -> Subject:
    """Return the subject as which a command acts on the whole installation."""
    return Subject(organization_id=None, role="system", name=name)  # type: ignore[arg-type]  # it reads no rows


def failed_login_subject(
    *, name: str, organization_id: uuid.UUID | None, address: str | None, request_id: str
) -> Subject:
    """Return the subject of a failed login: without any permission, for the audit entry alone.

    Without an organisation the entry is one of the whole installation.
    """
    return Subject(
        organization_id=organization_id,  # type: ignore[arg-type]  # it reads no rows
        role="nobody",
        name=name,
        address=address,
        request_id=request_id,
    )


def subject_of_user(
    user: User,
    *,
    scopes: frozenset[str] | None = None,
    key_id: uuid.UUID | None = None,
    key_name: str = "",
    login_id: uuid.UUID | None = None,
    expires_at: datetime | None = None,
    session_key: str | None = None,
) -> Subject | None:
    """Return the subject of a user, None where it is inactive or has no membership.

    A key has scopes of staff only as long as its owner is staff. One query unless `membership` was fetched with the
    user.
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
        scopes=scopes if scopes is None or user.is_staff else scopes - STAFF_SCOPES,
        key_id=key_id,
        key_name=key_name,
        login_id=login_id,
        authz_version=user.authz_version,
        access_version=user.access_version,
        expires_at=expires_at,
        session_key=session_key,
    )
