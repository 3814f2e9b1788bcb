"""Members: accounts and their role in an organisation.

Each change takes effect at once, for tokens, sessions and open sockets. None reaches an account above the subject's
level: such a one raises AccountAboveActor, a Forbidden.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F

from shipments import log
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import Customer, Driver, Membership, Role, User
from shipments.services.accounts import passwords
from shipments.services.accounts.access_changes import notify_access_changed
from shipments.services.accounts.account_levels import require_level
from shipments.services.accounts.logins import revoke_all
from shipments.services.accounts.passwords import HashedPassword
from shipments.services.validation import InvalidArgument


class AccountNotFound(Exception):
    """No such account in the subject's organisation."""


class DuplicateAccount(Exception):
    """An account with this e-mail address exists already."""


def create(
    *,
    by: Subject,
    now: datetime,
    email: str,
    role: str,
    name: str = "",
    password: str | HashedPassword | None = None,
    customer_id: uuid.UUID | None = None,
    driver_id: uuid.UUID | None = None,
) -> User:
    """Store a member of the subject's organisation; without a password it cannot log in yet.

    Raises Forbidden, InvalidArgument, DuplicateAccount. A password in clear is hashed first: not in a transaction,
    and raises HashingBusy.
    """
    _require_account_admin(by)
    email = _normalized_email(email)
    user = User(email=email, name=name)
    if password is None:
        user.set_unusable_password()
    else:
        user.password = _hashed(password, user).encoded
    with transaction.atomic():
        membership = _apply_role(
            Membership(user=user, organization_id=by.organization_id), role, customer_id, driver_id
        )
        _save_with_unique_email(user)
        membership.save(force_insert=True)
        _record_permission_change(
            user, by=by, now=now, before=None, after={"email": email} | _audited_values(membership)
        )
    return user


def set_role(
    *,
    by: Subject,
    now: datetime,
    user_id: uuid.UUID,
    role: str,
    customer_id: uuid.UUID | None = None,
    driver_id: uuid.UUID | None = None,
) -> None:
    """Change the role of a member. Raises Forbidden, AccountNotFound, InvalidArgument."""
    with transaction.atomic():
        membership = _locked_membership(user_id, by)
        before = _audited_values(membership)
        _apply_role(membership, role, customer_id, driver_id)
        after = _audited_values(membership)
        if after == before:
            return
        membership.save(update_fields=["role", "customer", "driver"])
        _record_permission_change(membership.user, by=by, now=now, before=before, after=after)


def remove(*, by: Subject, now: datetime, user_id: uuid.UUID) -> None:
    """End a membership and every login of it; the account stays. Raises Forbidden, AccountNotFound."""
    with transaction.atomic():
        membership = _locked_membership(user_id, by)
        before = _audited_values(membership)
        membership.delete()
        revoke_all(membership.user, now=now)
        _record_permission_change(membership.user, by=by, now=now, before=before, after=None)


def set_active(*, by: Subject, now: datetime, user_id: uuid.UUID, active: bool) -> None:
    """Deactivate an account, with every login and key of it, or activate it again.

    Raises Forbidden, AccountNotFound.
    """
    with transaction.atomic():
        user = _locked_membership(user_id, by).user
        if user.is_active == active:
            return
        user.is_active = active
        user.save(update_fields=["is_active"])
        if not active:
            revoke_all(user, now=now)
        _record_permission_change(user, by=by, now=now, before={"active": not active}, after={"active": active})


def set_password(*, by: Subject, now: datetime, user_id: uuid.UUID, password: str | HashedPassword) -> None:
    """Set the password of an account and end its logins. Raises Forbidden, AccountNotFound, InvalidArgument.

    A password in clear is hashed first: not in a transaction, and raises HashingBusy.
    """
    _require_account_admin(by)
    member = User.objects.filter(pk=user_id, membership__organization_id=by.organization_id).first()
    if member is None:
        raise AccountNotFound(user_id)
    hashed = _hashed(password, member)
    with transaction.atomic():
        user = _locked_membership(user_id, by).user
        user.password = hashed.encoded
        user.save(update_fields=["password"])
        revoke_all(user, now=now)
        _record_permission_change(user, by=by, now=now, before=None, after={"password": "changed"})


def set_staff(*, by: Subject, now: datetime, user_id: uuid.UUID, staff: bool) -> None:
    """Grant or withdraw access to the admin site. Only the system (a superuser) may.

    Raises Forbidden, AccountNotFound.
    """
    if not by.runs_installation:
        raise Forbidden("Only those who run the installation open the admin site to somebody.")
    with transaction.atomic():
        user = _locked_membership(user_id, by).user
        if user.is_staff == staff:
            return
        user.is_staff = staff
        user.save(update_fields=["is_staff"])
        _record_permission_change(user, by=by, now=now, before={"staff": not staff}, after={"staff": staff})


def update_profile(*, by: Subject, now: datetime, user_id: uuid.UUID, email: str, name: str) -> None:
    """Change e-mail address and name. Raises Forbidden, AccountNotFound, InvalidArgument, DuplicateAccount."""
    email = _normalized_email(email)
    with transaction.atomic():
        user = _locked_membership(user_id, by).user
        before = {"email": user.email, "name": user.name}
        after = {"email": email, "name": name}
        if after == before:
            return
        user.email, user.name = email, name
        _save_with_unique_email(user, update_fields=["email", "name"])
        log.record_audit(
            by=by, now=now, action="update", entity="user", entity_id=user.pk, before=before, after=after
        )


def _require_account_admin(by: Subject) -> None:
    if not by.runs_installation and not by.has_permission("accounts:write"):
        raise Forbidden("Only an administrator manages accounts.")


def _locked_membership(user_id: uuid.UUID, by: Subject) -> Membership:
    _require_account_admin(by)
    membership = (
        Membership.objects.select_for_update(of=("self", "user"))
        .select_related("user")
        .filter(user_id=user_id, organization_id=by.organization_id)
        .first()
    )
    if membership is None:
        raise AccountNotFound(user_id)
    require_level(by, membership.user)
    return membership


def _apply_role(
    membership: Membership, role: str, customer_id: uuid.UUID | None, driver_id: uuid.UUID | None
) -> Membership:
    if role not in Role.values:
        raise InvalidArgument("role", f"A role is one of {', '.join(Role.values)}.")
    if role == Role.CUSTOMER and customer_id is None:
        raise InvalidArgument("customerId", "A customer's account needs its customer.")
    if role == Role.DRIVER and driver_id is None:
        raise InvalidArgument("driverId", "A driver's account needs its driver.")
    organization_filter = {"organization_id": membership.organization_id}
    if customer_id and not Customer.objects.filter(pk=customer_id, **organization_filter).exists():
        raise InvalidArgument("customerId", "There is no such customer.", code="unknown_customer")
    if driver_id and not Driver.objects.filter(pk=driver_id, **organization_filter).exists():
        raise InvalidArgument("driverId", "There is no such driver.", code="unknown_driver")
    membership.role = role
    membership.customer_id = customer_id if role == Role.CUSTOMER else None
    membership.driver_id = driver_id if role == Role.DRIVER else None
    return membership


def _normalized_email(text: str) -> str:
    email = text.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise InvalidArgument("email", "This is no e-mail address.") from error
    return email


def _hashed(password: str | HashedPassword, user: User) -> HashedPassword:
    return passwords.hash_new(password, user) if isinstance(password, str) else password


def _save_with_unique_email(user: User, **save_arguments: Any) -> None:
    try:
        with transaction.atomic():
            user.save(**save_arguments)
    except IntegrityError as error:
        if "email" not in str(error):
            raise
        raise DuplicateAccount(f"There is an account {user.email} already.") from error


def _audited_values(membership: Membership) -> dict[str, Any]:
    return {
        "role": str(membership.role),
        "customerId": str(membership.customer_id) if membership.customer_id else None,
        "driverId": str(membership.driver_id) if membership.driver_id else None,
    }


def _record_permission_change(
    user: User, *, by: Subject, now: datetime, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """Revoke the tokens issued to the user, audit the change and notify its sockets after COMMIT.

    Called in the transaction of the change.
    """
    User.objects.filter(pk=user.pk).update(authz_version=F("authz_version") + 1)
    log.record_audit(
        by=by, now=now, action="permission", entity="user", entity_id=user.pk, before=before, after=after
    )
    notify_access_changed(user.pk)
