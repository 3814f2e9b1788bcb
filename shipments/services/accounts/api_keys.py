"""API keys: shown once, revocable, stored as a digest."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction

from shipments import log
from shipments.auth import tokens
from shipments.auth.subjects import STAFF_SCOPES, Subject
from shipments.models import ApiKey, User
from shipments.querysets import ApiKeyQuerySet
from shipments.services.accounts.access_changes import notify_access_changed
from shipments.services.accounts.account_levels import require_level
from shipments.services.validation import InvalidArgument

# Enough for every system of a user; a bound for a script that creates keys in a loop.
MAX_KEYS = 100


class ApiKeyNotFound(Exception):
    """No such key, or not for this subject."""


def create(
    *, by: Subject, now: datetime, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Store a key that acts for the subject within `scopes`, and return it with its secret.

    A key cannot create keys. Raises Forbidden, InvalidArgument.
    """
    user_id = by.require_person()
    requested_scopes = sorted(set(scopes))
    if not requested_scopes:
        raise InvalidArgument("scopes", "A key needs at least one scope.")
    ungrantable = [scope for scope in requested_scopes if scope not in by.grantable_scopes]
    if ungrantable:
        owner = f"The role {by.role}" if set(ungrantable) - STAFF_SCOPES else "Who is not staff"
        raise InvalidArgument("scopes", f"{owner} cannot give {', '.join(ungrantable)}.", code="not_grantable")
    if expires_at is not None and expires_at <= now:
        raise InvalidArgument("expiresAt", "The key would have ended already.", code="past")
    if name in settings.RATE_LIMIT_WHITELIST and not by.is_staff:
        # Such a name lifts every rate limit: staff may use it, a tenant may not.
        raise InvalidArgument("name", "This name is reserved.", code="reserved")
    secret = tokens.new_api_key()
    with transaction.atomic():
        User.objects.select_for_update().only("pk").get(pk=user_id)
        if ApiKey.objects.filter(user_id=user_id, revoked_at=None).count() >= MAX_KEYS:
            raise InvalidArgument("name", f"At most {MAX_KEYS} keys at a time; revoke one first.", code="too_many")
        key = ApiKey.objects.create(
            organization_id=by.organization_id,
            user_id=user_id,
            name=name,
            prefix=secret[:12],
            digest=tokens.digest(secret),
            scopes=requested_scopes,
            created_at=now,
            expires_at=expires_at,
        )
        log.record_audit(
            by=by, now=now, action="permission", entity="api_key", entity_id=key.pk,
            after={"name": name, "scopes": requested_scopes},
        )  # fmt: skip
    return key, secret


def revoke(*, by: Subject, now: datetime, key_id: uuid.UUID) -> None:
    """Revoke a key at once; a revoked one stays as it is.

    Raises Forbidden (AccountAboveActor for a key of an account above the subject's level), ApiKeyNotFound.
    """
    if not by.runs_installation:
        by.require_person()
    with transaction.atomic():
        keys: ApiKeyQuerySet = ApiKey.objects.visible_to(by)
        owner_id = keys.filter(pk=key_id).values_list("user_id").first()
        if owner_id is None:
            raise ApiKeyNotFound(key_id)
        require_level(by, User.objects.select_for_update(no_key=True).get(pk=owner_id[0]))
        key = ApiKey.objects.select_for_update().get(pk=key_id)
        if key.revoked_at:
            return
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        log.record_audit(
            by=by, now=now, action="permission", entity="api_key", entity_id=key.pk,
            before={"name": key.name, "scopes": key.scopes}, after={"revoked": True},
        )  # fmt: skip
        notify_access_changed(key.user_id)
