"""The check behind every door that takes an e-mail address and a password: limited, hashed, audited."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ratelimits import attempts, limiter, policies
from ratelimits.attempts import TooManyFailures
from shipments import log
from shipments.auth import device_cookies, subjects
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Membership, User
from shipments.services.accounts import passwords


class BadCredentials(Exception):
    """Wrong, unknown, inactive or revoked: the caller cannot tell which."""


class NoOrganization(Exception):
    """The password is right, and the account belongs to no organisation."""

    def __init__(self) -> None:
        super().__init__("This account belongs to no organisation: log in as a member of one.")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: the client's address (None: unknown), the request's id, its device cookie."""

    address: str | None
    request_id: str
    device_cookie: str = field(default="", repr=False)


def check(email: str, password: str, origin: Origin, now: datetime, *, members_only: bool) -> tuple[User, Subject]:
    """Return the user with this password and the subject that it is, or audit the failure.

    A superuser without an organisation passes unless `members_only`. Call it outside of a transaction. Raises
    BadCredentials, NoOrganization, TooManyFailures, HashingBusy.
    """
    account = email.strip().lower().replace("\0", "")[:254]
    user = User.objects.select_related("membership__organization").filter(email=account).first()
    try:
        with attempts.attempt(
            policies.get("auth"),
            account=account,
            address=limiter.address_key(origin.address),
            device=device_cookies.device_of(origin.device_cookie, user, now=now),
            now=now,
        ) as attempt:
            is_correct = passwords.check(user, password)
            if user is None or not is_correct or not user.is_active:
                attempt.failed = True
                reason = {"reason": "inactive" if is_correct else "password"}
                audit_failure(user, account, reason, origin, now)
                raise BadCredentials
            subject = _subject_of(user, origin, members_only=members_only)
            if subject is None:  # no guess, so no failure
                audit_failure(user, account, {"reason": "no organisation"}, origin, now)
                raise NoOrganization
    except TooManyFailures as refusal:
        # Not each: a stranger must not fill the audit.
        if refusal.is_first:
            reason = {"reason": "too many failures", "limit": refusal.limit}
            audit_failure(user, account, reason, origin, now)
        raise
    return user, subject


def audit_failure(
    user: User | None, account: str, reason: Mapping[str, str], origin: Origin, now: datetime
) -> None:
    """Write `login_failed` to the audit, of the account's organisation if it has one, else of the installation."""
    membership = Membership.objects.filter(user=user).first() if user else None
    log.record_audit(
        by=subjects.failed_login_subject(
            name=account,
            organization_id=membership.organization_id if membership else None,
            address=origin.address,
            request_id=origin.request_id,
        ),
        now=now,
        action="login_failed",
        entity="user",
        entity_id=user.pk if user else "",
        after=reason,
        outcome=AuditEntry.Outcome.REFUSED,
    )


def _subject_of(user: User, origin: Origin, *, members_only: bool) -> Subject | None:
    """Return the subject of an active user, None where it has no organisation and needs one."""
    subject = subjects.subject_of_user(user)
    if subject is not None:
        return subject.with_request_origin(address=origin.address, request_id=origin.request_id)
    if members_only or not user.is_superuser:
        return None
    anonymous = subjects.failed_login_subject(
        name=user.email, organization_id=None, address=origin.address, request_id=origin.request_id
    )
    return replace(anonymous, role="superuser", user_id=user.pk)
