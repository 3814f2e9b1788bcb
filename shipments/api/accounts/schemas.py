"""Schemas of the responses about logins, API keys, customers and members; `serializers` builds the bodies."""

# ruff: noqa: N815  the names are those on the wire

from rest_framework import serializers

from shipments.api.openapi.schemas import PageSchema, Party, ResponseSchema
from shipments.auth.subjects import SCOPES
from shipments.models import Role


class Account(ResponseSchema):
    id = serializers.UUIDField()
    email = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    organization = Party()


class Caller(Account):
    scopes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Those of an API key; null for a login."
    )
    expiresAt = serializers.DateTimeField(allow_null=True)


class TokenPair(ResponseSchema):
    access = serializers.CharField()
    refresh = serializers.CharField()
    expiresAt = serializers.DateTimeField(help_text="When `access` expires.")
    user = Account()


class SocketTicket(ResponseSchema):
    ticket = serializers.CharField(help_text="Good for one handshake.")
    expiresAt = serializers.DateTimeField()


class ApiKey(ResponseSchema):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES))
    user = Party()
    createdAt = serializers.DateTimeField()
    expiresAt = serializers.DateTimeField(allow_null=True)
    lastUsedAt = serializers.DateTimeField(allow_null=True)
    revokedAt = serializers.DateTimeField(allow_null=True)


class NewApiKey(ApiKey):
    secret = serializers.CharField(help_text="Shown in this response only.")


class ApiKeyList(ResponseSchema):
    results = ApiKey(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class CustomerShape(Party):
    email = serializers.CharField()
    phone = serializers.CharField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class CustomerPage(PageSchema):
    results = CustomerShape(many=True)


class UserMatch(ResponseSchema):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField()
    role = serializers.CharField()


class UserMatches(ResponseSchema):
    results = UserMatch(many=True)
