"""Bodies of requests about accounts, and what builds the bodies of their responses."""

# ruff: noqa: N815  the names are those on the wire

from typing import Any

from rest_framework import serializers

from shipments import representation
from shipments.api.http.fields import Email, Name, StrictSerializer, Text
from shipments.auth import tokens
from shipments.auth.subjects import SCOPE_MEANINGS, SCOPES, Subject
from shipments.models import ApiKey, User
from shipments.services.accounts.logins import TokenPair


class LoginSerializer(StrictSerializer):
    """An e-mail address and a password."""

    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


class RefreshSerializer(StrictSerializer):
    """A refresh token."""

    refresh = serializers.CharField(max_length=tokens.MAX_LENGTH)


class NewApiKeySerializer(StrictSerializer):
    """A new API key."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES),
        min_length=1,
        max_length=16,
        help_text="; ".join(f"`{scope}`: {meaning}" for scope, meaning in SCOPE_MEANINGS.items()) + ".",
    )
    expiresAt = serializers.DateTimeField(required=False, allow_null=True, source="expires_at")


class CustomerAmendment(StrictSerializer):
    """Changes of a customer account; a field that is left out stays as it is."""

    name = Name(required=False, max_length=120)
    email = Email(required=False, allow_blank=True, max_length=254)
    phone = Text(required=False, allow_blank=True, max_length=32)


class CustomerOpening(CustomerAmendment):
    """A new customer account."""

    name = Name(max_length=120)


def token_pair_json(login_tokens: TokenPair) -> dict[str, Any]:
    """Return the response of a login or a refresh."""
    return {
        "access": login_tokens.access,
        "refresh": login_tokens.refresh,
        "expiresAt": representation.instant(login_tokens.expires_at),
        "user": account_json(login_tokens.user),
    }


def account_json(user: User) -> dict[str, Any]:
    """Return a member as it sees itself; fetch membership and organisation with the user."""
    membership = user.membership
    return {
        "id": str(user.pk),
        "email": user.email,
        "name": user.name,
        "role": membership.role,
        "organization": {"id": str(membership.organization_id), "name": membership.organization.name},
    }


def caller_json(user: User, subject: Subject) -> dict[str, Any]:
    """Return the caller's account; for an API key with its scopes and expiry."""
    return account_json(user) | {
        "scopes": None if subject.scopes is None else sorted(subject.scopes),
        "expiresAt": representation.instant(subject.expires_at),
    }


def api_key_json(key: ApiKey) -> dict[str, Any]:
    """Return an API key without its secret; fetch the user with it."""
    return {
        "id": str(key.pk),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "user": {"id": str(key.user_id), "name": key.user.name},
        "createdAt": representation.instant(key.created_at),
        "expiresAt": representation.instant(key.expires_at),
        "lastUsedAt": representation.instant(key.last_used_at),
        "revokedAt": representation.instant(key.revoked_at),
    }
