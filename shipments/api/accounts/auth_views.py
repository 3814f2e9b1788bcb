"""Logging in, staying in, leaving; and the API keys of systems."""

import uuid
from typing import Any

from django.contrib.auth import logout as end_session
from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed, NotFound, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from monitoring.addresses import client_address
from shipments import representation
from shipments.api.accounts import schemas, serializers
from shipments.api.authentication import BAD_CREDENTIALS, subject_of
from shipments.api.openapi.documentation import problem_responses
from shipments.selectors import accounts
from shipments.services.accounts import api_keys, logins, socket_tickets

_NO_STORE = {"Cache-Control": "no-store"}
_MAX_KEYS_LISTED = 500


class _AnonymousView(APIView):
    """An endpoint for those who are nobody yet: whatever else they send along does not count."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        """Name the scheme, which makes a refusal 401 and not 403."""
        return 'Bearer realm="freight"'

    def handle_exception(self, exc: Exception) -> Response:
        """Answer every refused login in the same words."""
        if isinstance(exc, logins.BadCredentials):
            exc = AuthenticationFailed(BAD_CREDENTIALS)
        elif isinstance(exc, logins.TooManyFailures):
            exc = Throttled(wait=exc.retry_after)
        return super().handle_exception(exc)


class LoginView(_AnonymousView):
    """Begins a login."""

    @extend_schema(
        operation_id="login",
        request=serializers.LoginSerializer,
        responses={200: schemas.TokenPair, **problem_responses(body=True)},
    )
    def post(self, request: Request) -> Response:
        """Exchange e-mail address and password for a pair of tokens."""
        body = _validated(serializers.LoginSerializer(data=request.data))
        tokens = logins.login(
            email=body["email"], password=body["password"], origin=_request_origin(request), now=timezone.now()
        )
        return Response(serializers.token_pair_json(tokens), headers=_NO_STORE)


class RefreshView(_AnonymousView):
    """Renews a login."""

    @extend_schema(
        operation_id="refreshLogin",
        request=serializers.RefreshSerializer,
        responses={200: schemas.TokenPair, **problem_responses(body=True)},
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for the next pair; presenting an old one ends the login."""
        now = timezone.now()
        body = _validated(serializers.RefreshSerializer(data=request.data))
        tokens = logins.refresh(token=body["refresh"], origin=_request_origin(request), now=now)
        return Response(serializers.token_pair_json(tokens), headers=_NO_STORE)


class LogoutView(APIView):
    """Ends a login."""

    @extend_schema(operation_id="logout", request=None, responses={204: None, **problem_responses()})
    def post(self, request: Request) -> Response:
        """End the login (or session) that the request came with."""
        subject = subject_of(request)
        with transaction.atomic():
            if subject.session_key:
                end_session(request._request)
            logins.logout(by=subject, now=timezone.now())
        return Response(status=204)


class SocketTicketView(APIView):
    """Opens a socket where no header can be set."""

    @extend_schema(
        operation_id="makeSocketTicket",
        request=None,
        responses={200: schemas.SocketTicket, **problem_responses()},
    )
    def post(self, request: Request) -> Response:
        """Make a ticket: the subprotocol `ticket.<ticket>` beside `freight.v1` opens one socket."""
        ticket, expires_at = socket_tickets.issue(by=subject_of(request), now=timezone.now())
        return Response({"ticket": ticket, "expiresAt": representation.instant(expires_at)}, headers=_NO_STORE)


class MeView(APIView):
    """The caller."""

    @extend_schema(operation_id="getMe", responses={200: schemas.Caller, **problem_responses(404)})
    def get(self, request: Request) -> Response:
        """Tell who calls, as what, in which organisation."""
        subject = subject_of(request)
        if subject.user_id is None:
            raise NotFound
        return Response(serializers.caller_json(accounts.get_member(subject.user_id), subject), headers=_NO_STORE)


class ApiKeysView(APIView):
    """The keys that the caller manages."""

    @extend_schema(operation_id="listApiKeys", responses={200: schemas.ApiKeyList, **problem_responses()})
    def get(self, request: Request) -> Response:
        """List the keys, newest first: an administrator's organisation's, anybody else's own."""
        keys = accounts.api_keys(subject_of(request))[:_MAX_KEYS_LISTED]
        return Response(
            {"results": [serializers.api_key_json(key) for key in keys], "next": None, "previous": None}
        )

    @extend_schema(
        operation_id="makeApiKey",
        request=serializers.NewApiKeySerializer,
        responses={201: schemas.NewApiKey, **problem_responses(body=True)},
    )
    def post(self, request: Request) -> Response:
        """Make a key; its secret is in this answer and nowhere else."""
        body = _validated(serializers.NewApiKeySerializer(data=request.data))
        key, secret = api_keys.create(by=subject_of(request), now=timezone.now(), **body)
        return Response(serializers.api_key_json(key) | {"secret": secret}, status=201, headers=_NO_STORE)


class ApiKeyView(APIView):
    """One key."""

    @extend_schema(operation_id="getApiKey", responses={200: schemas.ApiKey, **problem_responses(404)})
    def get(self, request: Request, key_id: uuid.UUID) -> Response:
        """Show a key without its secret."""
        key = accounts.api_keys(subject_of(request)).filter(pk=key_id).first()
        if key is None:
            raise NotFound
        return Response(serializers.api_key_json(key))

    @extend_schema(operation_id="revokeApiKey", responses={204: None, **problem_responses(404)})
    def delete(self, request: Request, key_id: uuid.UUID) -> Response:
        """Revoke a key at once."""
        try:
            api_keys.revoke(by=subject_of(request), now=timezone.now(), key_id=key_id)
        except api_keys.ApiKeyNotFound as error:
            raise NotFound from error
        return Response(status=204)


def _validated(serializer: Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    body: dict[str, Any] = serializer.validated_data
    return body


def _request_origin(request: Request) -> logins.Origin:
    return logins.Origin(
        address=client_address(request.META),
        request_id=getattr(request._request, "request_id", ""),
    )
