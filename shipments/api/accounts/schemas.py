"""What the account endpoints give, for the schema alone; see `account_serializers` for what makes it."""

from rest_framework import serializers

from shipments.api.openapi.schemas import Party, Shape
from shipments.auth.subjects import SCOPES
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
