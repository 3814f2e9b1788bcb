"""Log in, refresh, log out; socket tickets; the caller's own account."""

from typing import Final

from django.contrib.auth import logout as django_logout
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from monitoring.addresses import client_address
from shipments import representation
from shipments.api.accounts import schemas, serializers
from shipments.api.authentication import BAD_CREDENTIALS, subject_of
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import problem_responses
from shipments.auth import device_cookies
from shipments.selectors import accounts
from shipments.services.accounts import logins, socket_tickets

_NO_STORE: Final = {"Cache-Control": "no-store"}


class _AnonymousView(APIView):
    """An endpoint before authentication: it ignores whatever credentials the request carries."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        """Return the scheme; with one, DRF answers 401 and not 403."""
        return 'Bearer realm="freight"'

    def handle_exception(self, exc: Exception) -> Response:
        """Answer every failed login alike: the response never says which part was wrong.

        A right password of an account without an organisation is no failed one, and is told what is missing.
        """
        if isinstance(exc, logins.BadCredentials):
            exc = AuthenticationFailed(BAD_CREDENTIALS)
        elif isinstance(exc, logins.NoOrganization):
            exc = PermissionDenied(
                f"{exc} A superuser makes organisations and members in /admin.", code="no_organization"
            )
        elif isinstance(exc, logins.TooManyFailures):
            exc = Throttled(wait=exc.retry_after, code="too_many_failures")
        return super().handle_exception(exc)


class LoginView(_AnonymousView):
    """Log in."""

    @extend_schema(
        operation_id="login",
        request=serializers.LoginSerializer,
        responses={200: schemas.TokenPair, **problem_responses(403, body=True)},
    )
    def post(self, request: Request) -> Response:
        """Exchange e-mail address and password for a pair of tokens.

        Sets the cookie `freight_device` for this path. A client that sends it along at its next login is not locked
        out by others who guess at the account.
        """
        now = clock.now()
        body = validated_body(serializers.LoginSerializer, request)
        origin = _request_origin(request)
        tokens = logins.login(email=body["email"], password=body["password"], origin=origin, now=now)
        response = Response(serializers.token_pair_json(tokens), headers=_NO_STORE)
        device_cookies.remember(response, tokens.user, now=now, shown=origin.device_cookie, path=request.path)
        return response


class RefreshView(_AnonymousView):
    """Refresh a login."""

    @extend_schema(
        operation_id="refreshLogin",
        request=serializers.RefreshSerializer,
        responses={200: schemas.TokenPair, **problem_responses(body=True)},
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for the next pair; reuse of an old one ends the login.

        For ten seconds the same address gets the same pair again, so that two tabs may refresh at once.
        """
        now = clock.now()
        body = validated_body(serializers.RefreshSerializer, request)
        tokens = logins.refresh(token=body["refresh"], origin=_request_origin(request), now=now)
        return Response(serializers.token_pair_json(tokens), headers=_NO_STORE)


class LogoutView(APIView):
    """Log out."""

    @extend_schema(operation_id="logout", request=None, responses={204: None, **problem_responses()})
    def post(self, request: Request) -> Response:
        """End the login or session that the request was made with."""
        subject = subject_of(request)
        with transaction.atomic():
            if subject.session_key:
                django_logout(request._request)  # noqa: SLF001  the session belongs to Django's own request
            logins.logout(by=subject, now=clock.now())
        return Response(status=204)


class SocketTicketView(APIView):
    """A ticket that opens a socket where no header can be set."""

    @extend_schema(
        operation_id="makeSocketTicket",
        request=None,
        responses={200: schemas.SocketTicket, **problem_responses()},
    )
    def post(self, request: Request) -> Response:
        """Make a ticket: offered as subprotocol `ticket.<ticket>` beside `freight.v1`, it opens one socket."""
        ticket, expires_at = socket_tickets.issue(by=subject_of(request), now=clock.now())
        return Response({"ticket": ticket, "expiresAt": representation.instant(expires_at)}, headers=_NO_STORE)


class MeView(APIView):
    """The caller."""

    @extend_schema(operation_id="getMe", responses={200: schemas.Caller, **problem_responses(404)})
    def get(self, request: Request) -> Response:
        """Show the caller's account, role and organisation."""
        subject = subject_of(request)
        if subject.user_id is None:
            raise NotFound
        return Response(serializers.caller_json(accounts.get_member(subject.user_id), subject), headers=_NO_STORE)


def _request_origin(request: Request) -> logins.Origin:
    return logins.Origin(
        address=client_address(request.META),
        request_id=getattr(request, "request_id", ""),
        device_cookie=request.COOKIES.get(device_cookies.NAME, ""),
    )
