"""Logins: check passwords, issue a pair of tokens, rotate it, end it."""

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from ratelimits import limiter
from ratelimits.attempts import TooManyFailures
from shipments import log
from shipments.auth import subjects, tokens
from shipments.auth.subjects import Subject
from shipments.models import RefreshFamily, User
from shipments.services.accounts import password_check
from shipments.services.accounts.access_changes import notify_access_changed
from shipments.services.accounts.password_check import BadCredentials, NoOrganization, Origin
from shipments.services.accounts.passwords import HashingBusy

__all__ = [
    "BadCredentials", "HashingBusy", "NoOrganization", "Origin", "TokenPair", "TooManyFailures", "authenticate",
    "login", "logout", "refresh",
]  # fmt: skip

REISSUE_DURATION: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token and when it ends, the refresh token that renews it, and whose they are."""

    access: str
    refresh: str
    expires_at: datetime
    user: User


def authenticate(*, email: str, password: str, origin: Origin, now: datetime) -> User:
    """Return the user with this password, and write the audit entry `login` or `login_failed`.

    That is a member, or a superuser without an organisation. API, pages and admin all check passwords here. It
    takes the same time whether or not the account exists. Call it outside of a transaction. Raises BadCredentials,
    NoOrganization; TooManyFailures where the account, the address or the device has used up the policy `auth`;
    HashingBusy.
    """
    user, subject = password_check.check(email, password, origin, now, members_only=False)
    with transaction.atomic():
        _record_login(user, subject, now)
    return user


def login(*, email: str, password: str, origin: Origin, now: datetime) -> TokenPair:
    """Check the password and start a login with its first pair of tokens; raises what `authenticate` raises.

    A login of the API acts in an organisation: a superuser without one is refused, too.
    """
    user, subject = password_check.check(email, password, origin, now, members_only=True)
    with transaction.atomic():
        _record_login(user, subject, now)
        family = RefreshFamily.objects.create(
            user=user,
            created_at=now,
            refreshed_at=now,
            expires_at=now + timedelta(days=settings.JWT_REFRESH_DAYS),
            address=origin.address,
        )
    return _issue_pair(family, user)


def refresh(*, token: str, origin: Origin, now: datetime) -> TokenPair:
    """Rotate the refresh token of a login: the given one becomes invalid and a new pair is returned.

    The token that was rotated out last gets the same new pair again for REISSUE_DURATION, from the address (/64)
    that rotated it: two open tabs are no theft. Otherwise a token that was rotated out before this request began
    has been copied, and the whole login is revoked. `now` is when the request began. Raises BadCredentials.
    """
    started = time.monotonic()
    try:
        claims = tokens.verify_refresh(token, now)
    except tokens.InvalidToken as error:
        raise BadCredentials from error
    with transaction.atomic():
        _lock_user(claims.user_id)
        family = _locked_family(claims.login_id, claims.user_id)
        if family is None or family.revoked_at or family.expires_at <= now:
            raise BadCredentials
        if subjects.subject_of_user(family.user) is None:
            raise BadCredentials
        if claims.version == family.generation:
            # Not when it was requested: requests that began before this moment are concurrent.
            _rotate(family, origin, now + timedelta(seconds=time.monotonic() - started))
            return _issue_pair(family, family.user)
        is_last = claims.version == family.generation - 1
        if is_last and _is_same_network(origin.address, family.refreshed_from):
            if now <= family.refreshed_at + REISSUE_DURATION:
                return _issue_pair(family, family.user)
        elif is_last and now <= family.refreshed_at:
            raise BadCredentials
        _revoke(family, now)
        password_check.audit_failure(
            family.user, family.user.email, {"reason": "refresh token reused"}, origin, now
        )
    raise BadCredentials


def logout(*, by: Subject, now: datetime) -> None:
    """End the login with which the subject was authenticated.

    The caller ends a session itself, before this and in the same transaction; its sockets are notified here.
    """
    if by.key_id is not None or by.user_id is None:
        return  # a key is revoked, it does not log out
    with transaction.atomic():
        _lock_user(by.user_id)
        family = _locked_family(by.login_id, by.user_id) if by.login_id else None
        if family is not None and family.revoked_at is None:
            _revoke(family, now)
        elif by.session_key:
            notify_access_changed(by.user_id)
        log.record_audit(by=by, now=now, action="logout", entity="user", entity_id=by.user_id)


def revoke_all(user: User, *, now: datetime) -> None:
    """End every login of a user, inside the caller's transaction."""
    RefreshFamily.objects.filter(user=user, revoked_at=None).update(revoked_at=now)


def _record_login(user: User, subject: Subject, now: datetime) -> None:
    """Audit a login in the caller's transaction; BadCredentials where the password was changed meanwhile."""
    unchanged = User.objects.filter(pk=user.pk, password=user.password, is_active=True)
    if not unchanged.update(last_login=now):
        raise BadCredentials
    log.record_audit(by=subject, now=now, action="login", entity="user", entity_id=user.pk)


def _lock_user(user_id: uuid.UUID) -> None:
    """Lock the user before its logins, in the order in which `members` locks them: no deadlock."""
    User.objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk").first()


def _locked_family(login_id: uuid.UUID, user_id: uuid.UUID) -> RefreshFamily | None:
    return (
        RefreshFamily.objects.select_for_update(of=("self",))
        .select_related("user__membership__organization")
        .filter(pk=login_id, user_id=user_id)
        .first()
    )


def _rotate(family: RefreshFamily, origin: Origin, at: datetime) -> None:
    family.generation += 1
    family.refreshed_at, family.refreshed_from = at, origin.address
    family.expires_at = at + timedelta(days=settings.JWT_REFRESH_DAYS)
    family.save(update_fields=["generation", "refreshed_at", "refreshed_from", "expires_at"])


def _is_same_network(address: str | None, other: str | None) -> bool:
    """Tell whether both are known and one client's: an unknown address proves nothing."""
    return None not in (address, other) and limiter.address_key(address) == limiter.address_key(other)


def _revoke(family: RefreshFamily, now: datetime) -> None:
    family.revoked_at = now
    family.save(update_fields=["revoked_at"])
    notify_access_changed(family.user_id)


def _issue_pair(family: RefreshFamily, user: User) -> TokenPair:
    """Return the tokens of the newest generation; the same row gives the same ones."""
    access_token, expires_at = tokens.issue_access(
        user_id=user.pk, login_id=family.pk, authz_version=user.authz_version, now=family.refreshed_at
    )
    refresh_token = tokens.issue_refresh(
        user_id=user.pk,
        login_id=family.pk,
        generation=family.generation,
        now=family.refreshed_at,
        expires_at=family.expires_at,
    )
    return TokenPair(access_token, refresh_token, expires_at, user)
