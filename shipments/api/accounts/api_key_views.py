"""API keys: list, make, show, revoke; for people who have logged in, not for keys."""

import uuid
from typing import Final

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments.api.accounts import schemas, serializers
from shipments.api.authentication import subject_of
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import problem_responses
from shipments.auth.subjects import Subject
from shipments.selectors import accounts
from shipments.services.accounts import api_keys

_NO_STORE: Final = {"Cache-Control": "no-store"}
_MAX_LISTED: Final = 500


def _person(request: Request) -> Subject:
    """Return the caller; raises NotAuthenticated, and Forbidden for a key or a link."""
    subject = subject_of(request)
    subject.require_person()
    return subject


class ApiKeysView(APIView):
    """The API keys that the caller manages."""

    @extend_schema(operation_id="listApiKeys", responses={200: schemas.ApiKeyList, **problem_responses()})
    def get(self, request: Request) -> Response:
        """List the newest 500 keys: for an administrator the organisation's, for others their own."""
        keys = accounts.api_keys(_person(request))[:_MAX_LISTED]
        return Response(
            {"results": [serializers.api_key_json(key) for key in keys], "next": None, "previous": None}
        )

    @extend_schema(
        operation_id="makeApiKey",
        request=serializers.NewApiKeySerializer,
        responses={201: schemas.NewApiKey, **problem_responses(body=True)},
    )
    def post(self, request: Request) -> Response:
        """Make a key; its secret is in this response only."""
        body = validated_body(serializers.NewApiKeySerializer, request)
        key, secret = api_keys.create(by=subject_of(request), now=clock.now(), **body)
        return Response(serializers.api_key_json(key) | {"secret": secret}, status=201, headers=_NO_STORE)


class ApiKeyView(APIView):
    """One API key."""

    @extend_schema(operation_id="getApiKey", responses={200: schemas.ApiKey, **problem_responses(404)})
    def get(self, request: Request, key_id: uuid.UUID) -> Response:
        """Show a key without its secret."""
        key = accounts.api_keys(_person(request)).filter(pk=key_id).first()
        if key is None:
            raise NotFound
        return Response(serializers.api_key_json(key))

    @extend_schema(operation_id="revokeApiKey", responses={204: None, **problem_responses(404)})
    def delete(self, request: Request, key_id: uuid.UUID) -> Response:
        """Revoke a key; it stops working at once."""
        try:
            api_keys.revoke(by=subject_of(request), now=clock.now(), key_id=key_id)
        except api_keys.ApiKeyNotFound as error:
            raise NotFound from error
        return Response(status=204)
