"""`/api/osmand`: positions from phone trackers. Its device keys are the only secrets allowed in a URL."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import intake
from shipments.api.authentication import SubjectUser, subject_of
from shipments.api.fleet import osmand
from shipments.api.fleet.ignored_positions import count_ignored_position
from shipments.api.http.parsers import SmallFormParser, TrackerJSONParser
from shipments.api.openapi import schemas
from shipments.auth import bearers
from shipments.auth.request_origin import with_request_origin
from shipments.auth.subjects import Subject
from shipments.parsing.strict_json import InvalidJson
from shipments.services import InvalidArgument

_View = TypeVar("_View", bound=Callable[..., Any])
_TEXT: Final = "text/plain; charset=utf-8"
_DESCRIPTIONS: Final = {
    400: "The body cannot be read, and the query names no device key.",
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
# Not closed: phones send what their authors think of, and what is not known is left out.
_FORM: Final[dict[str, Any]] = {
    "title": "TrackerFormRequest",
    "type": "object",
    "additionalProperties": True,
    "properties": {name: {"type": "string", "description": meaning} for name, meaning in _FIELDS.items()},
}
_JSON: Final[dict[str, Any]] = {
    "title": "TrackerReportRequest",
    "type": "object",
    "additionalProperties": True,
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
        try:
            subject = _device_of(_message(request))
        except (InvalidJson, SuspiciousOperation, UnsupportedMediaType):
            # No later attempt mends the body: where the query says who it is, the view acknowledges it.
            subject = _device_of(request.GET.dict())
            if subject is None:
                raise
            request.is_unreadable = True  # type: ignore[attr-defined]  # our attribute
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
                    "Empty: the phone can drop the message from its queue. Also for one that no retry would change:"
                    " a heartbeat without coordinates, values that cannot be read or are out of range, a time too"
                    " long ago or in the future, 0° 0°, a jump that no vehicle can make. They show no position"
                    " and are counted in `positions_ignored_total`."
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
    parser_classes = (TrackerJSONParser, SmallFormParser)
    base_policy = "positions"

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


def _device_of(message: Mapping[str, Any]) -> Subject | None:
    raw = osmand.device_key_of(message)
    return None if raw is None else bearers.authenticate_device(raw, now=clock.now())


def _message(request: Request) -> Mapping[str, Any]:
    """Return the query parameters, overlaid with those of the body; raises what the parsers raise."""
    message: dict[str, Any] = request.GET.dict()
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind in {"application/json", "application/x-www-form-urlencoded"}:
        data = request.data
        message |= data.dict() if hasattr(data, "dict") else data
    return message


def _parse_report(request: Request) -> osmand.Report:
    if getattr(request, "is_unreadable", False):
        raise InvalidArgument("", "The body cannot be read.", code="unreadable")
    return osmand.parse_report(_message(request))


def _accept_report(request: Request) -> HttpResponse:
    """Record a position, and acknowledge also one that cannot be.

    An error would make the phone retry it for ever, and hold back every later position in its queue.
    """
    subject = subject_of(request)
    try:
        report = _parse_report(request)
        intake.record_position(by=subject, now=clock.now(), **report.as_arguments())
    except InvalidArgument as error:
        count_ignored_position(subject, error)
    return HttpResponse(b"", content_type=_TEXT)


def _error_line(error: Mapping[str, str]) -> str:
    return f"{error['field']}: {error['message']}"
