"""`/api/osmand`: positions from phone trackers. Its device keys are the only secrets allowed in a URL."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog
from django.http import HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import intake, services
from shipments.api.authentication import SubjectUser, subject_of
from shipments.api.fleet import osmand
from shipments.api.http.parsers import SmallFormParser, StrictJSONParser
from shipments.api.openapi import schemas
from shipments.auth import bearers
from shipments.auth.request_origin import with_request_origin
from shipments.auth.subjects import Subject

_View = TypeVar("_View", bound=Callable[..., Any])
_log = structlog.get_logger("shipments.api")
_TEXT: Final = "text/plain; charset=utf-8"
_DESCRIPTIONS: Final = {
    400: "The message cannot be understood, or a value is out of range.",
    401: "The device key is unknown or was revoked.",
    413: "The body is larger than 1 MiB.",
    415: "The body is neither a form nor plain JSON.",
    429: "The rate limit is used up; see Retry-After.",
    503: "The database does not answer; see Retry-After.",
}
_FIELDS: Final = {
    "id": "The device key; also as `deviceid`.",
    "lat": "Degrees.",
    "lon": "Degrees.",
    "timestamp": "Seconds or milliseconds since 1970, or ISO 8601. Now where left out.",
    "speed": "Knots.",
    "bearing": "Degrees from north; also as `heading`.",
    "accuracy": "Metres.",
    "altitude": "Metres; not stored.",
    "batt": "Percent; not stored.",
    "valid": "`false` where the phone has no fix: nothing is stored.",
}
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {name: {"type": "string", "description": meaning} for name, meaning in _FIELDS.items()},
}
_JSON: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "device_id": {"type": "string", "description": "The device key."},
        "location": {
            "type": "object",
            "properties": {
                "timestamp": {"type": "string", "description": "ISO 8601."},
                "coords": {
                    "type": "object",
                    "description": "Degrees, metres, metres a second.",
                    "properties": {
                        name: {"type": "number"}
                        for name in ("latitude", "longitude", "accuracy", "speed", "heading", "altitude")
                    },
                },
            },
        },
    },
}


class DeviceAuthentication(BaseAuthentication):
    """Authenticates a phone by its device key alone; other credentials are ignored."""

    def authenticate(self, request: Request) -> tuple[Any, Subject]:
        """Return the subject of the device key; raises AuthenticationFailed."""
        raw = osmand.device_key_of(_message(request))
        subject = None if raw is None else bearers.authenticate_device(raw, now=clock.now())
        if subject is None:
            raise AuthenticationFailed("The device key is missing, unknown or was revoked.")
        subject = with_request_origin(subject, request)
        request._request.subject = subject  # type: ignore[attr-defined]  # noqa: SLF001  read by limiter and logs
        return SubjectUser(subject), subject

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme; with one, DRF answers 401 and not 403."""
        return 'Device realm="freight"'


class DeviceScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped base
    """Describes how phones authenticate."""

    target_class = DeviceAuthentication
    name = "deviceKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the scheme: a key in the query."""
        return {
            "type": "apiKey",
            "in": "query",
            "name": "id",
            "description": "A device key; in a form also as `id`, in JSON as `device_id`.",
        }


def _schema(operation_id: str, **more: Any) -> Callable[[_View], _View]:
    refusals = {
        (status, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description=meaning)
        for status, meaning in _DESCRIPTIONS.items()
    }
    return extend_schema(
        operation_id=operation_id,
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.QUERY, description=meaning)
            for name, meaning in _FIELDS.items()
        ],
        responses={
            (200, "text/plain"): OpenApiResponse(
                OpenApiTypes.STR,
                description=(
                    "Empty: the phone can drop the position from its queue. Also for a position that is too old, or"
                    " a jump that no vehicle can make: a retry would not change that."
                ),
            ),
            **refusals,
            (429, "application/problem+json"): OpenApiResponse(schemas.Problem, description=_DESCRIPTIONS[429]),
        },
        **more,
    )


class OsmandView(APIView):
    """The OsmAnd protocol of phone trackers."""

    authentication_classes = (DeviceAuthentication,)
    parser_classes = (StrictJSONParser, SmallFormParser)

    @_schema("reportByTracker")
    def get(self, request: Request) -> HttpResponse:
        """Store a position from a phone, given as query parameters."""
        return _accept_report(request)

    @_schema(
        "reportByTrackerBody",
        request={"application/x-www-form-urlencoded": _FORM, "application/json": _JSON},
    )
    def post(self, request: Request) -> HttpResponse:
        """Store a position from a phone, given as query or form parameters, or as JSON."""
        return _accept_report(request)

    def handle_exception(self, exc: Exception) -> Response:
        """Return errors as plain text, which trackers show to the driver."""
        response = super().handle_exception(exc)
        body = response.data if isinstance(response.data, Mapping) else {}
        text = "\n".join([str(body.get("detail", "")), *(_error_line(error) for error in body.get("errors", ()))])
        # DRF declares a Response; its finalize_response accepts any HttpResponse.
        text_response = HttpResponse(text, status=response.status_code, content_type=_TEXT)
        for name in ("Retry-After", "WWW-Authenticate", "Allow"):
            if name in response:
                text_response[name] = response[name]
        return text_response  # type: ignore[return-value]  # as above


def _message(request: Request) -> Mapping[str, Any]:
    """Return the query parameters, overlaid with those of the body; raises what the parsers raise."""
    message: dict[str, Any] = request.GET.dict()
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind in {"application/json", "application/x-www-form-urlencoded"}:
        data = request.data
        message |= data.dict() if hasattr(data, "dict") else data
    return message


def _accept_report(request: Request) -> HttpResponse:
    subject, now = subject_of(request), clock.now()
    for report in osmand.parse_reports(_message(request)):
        _record(subject, now, report)
    return HttpResponse(b"", content_type=_TEXT)


def _record(subject: Subject, now: datetime, report: osmand.Report) -> None:
    """Record a position. One that is too old or implausible is logged and acknowledged.

    An error would make the phone retry it for ever, and hold back every later position in its queue.
    """
    try:
        intake.record_position(by=subject, now=now, **report.as_arguments())
    except services.InvalidArgument as error:
        if error.code not in {"impossible_jump", "too_old"}:
            raise
        _log.info("position not taken", code=error.code, driver=str(subject.driver_id), key=str(subject.key_id))


def _error_line(error: Mapping[str, str]) -> str:
    return f"{error['field']}: {error['message']}"
