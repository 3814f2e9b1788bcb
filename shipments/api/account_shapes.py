"""What the account endpoints give, for the schema alone; see `account_serializers` for what makes it."""

# ruff: noqa: N815  the names are those on the wire

from rest_framework import serializers

from shipments.access import SCOPES
from shipments.api.shapes import Party, Shape
from shipments.models import Role


class Account(Shape):
    id = serializers.UUIDField()
    email = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    organization = Party()


class Caller(Account):
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True, help_text="Null for a person.")
    expiresAt = serializers.DateTimeField(allow_null=True)


class TokenPair(Shape):
    access = serializers.CharField()
    refresh = serializers.CharField()
    expiresAt = serializers.DateTimeField(help_text="When `access` ends.")
    user = Account()


class SocketTicket(Shape):
    ticket = serializers.CharField(help_text="Good for one handshake.")
    expiresAt = serializers.DateTimeField()


class ApiKey(Shape):
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
    secret = serializers.CharField(help_text="Shown in this answer and nowhere else.")


class ApiKeyList(Shape):
    results = ApiKey(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
