"""Errors as problem+json (RFC 9457): the only place that maps exceptions to responses."""

import re
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.urls import is_valid_path
from django.utils.encoding import iri_to_uri
from rest_framework.exceptions import APIException, Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from monitoring import clock
from monitoring.health import outages
from monitoring.problems.bodies import CONTENT_TYPE, code_for, problem
from shipments import services
from shipments.api.http.renderers import encode
from shipments.auth.password_hashers import HashingBusy
from shipments.auth.subjects import Forbidden, InsufficientScope, PersonRequired, Subject
from shipments.domain.lifecycle import IllegalTransition
from shipments.parsing.query_parameters import FieldError, InvalidFields, field_error
from shipments.parsing.strict_json import InvalidJson, JsonTooLarge
from shipments.services.idempotency import KeyInFlight, KeyReused
from shipments.services.transactions import OutcomeUnknown

# Enough for PostgreSQL to restart or a lock to be released.
RETRY_SECONDS: Final = 2
_NOT_FOUND_DETAIL: Final = "There is nothing here."
_INVALID_VALUES_DETAIL: Final = "Some values cannot be used."
# Codes of `monitoring.problems.registry`, which knows the status. The most specific class of an exception decides.
# Its text is the detail unless _DETAIL_BY_ERROR has one.
_CODE_BY_ERROR: Final[Mapping[type[Exception], str]] = {
    services.ShipmentNotFound: "not_found",
    services.CheckpointNotFound: "not_found",
    services.EventNotFound: "not_found",
    services.FeedNotFound: "not_found",
    services.DriverNotFound: "not_found",
    services.CustomerNotFound: "not_found",
    services.DeviceKeyNotFound: "not_found",
    services.LinkNotFound: "not_found",
    services.DuplicateReference: "duplicate_reference",
    services.NotADraft: "not_a_draft",
    services.NotVoidable: "not_voidable",
    services.CustomerInUse: "customer_in_use",
    services.SourceEventConflict: "source_event_conflict",
    services.StaleWrite: "stale_version",
    KeyInFlight: "in_flight",
    KeyReused: "key_reused",
    OutcomeUnknown: "outcome_unknown",
    HashingBusy: "logins_busy",
    InsufficientScope: "insufficient_scope",
    PersonRequired: "person_required",
    Forbidden: "forbidden",
    PermissionDenied: "forbidden",
    RequestDataTooBig: "body_too_large",
    JsonTooLarge: "body_too_large",
    UnreadablePostError: "malformed_request",
    SuspiciousOperation: "malformed_request",
    DataError: "out_of_range",
}
# Errors whose own text is internal (of the database, of Django) or empty.
_DETAIL_BY_ERROR: Final[Mapping[type[Exception], str]] = {
    services.ShipmentNotFound: "There is no such shipment.",
    services.FeedNotFound: _NOT_FOUND_DETAIL,
    services.CheckpointNotFound: "There is no such checkpoint.",
    services.EventNotFound: "The shipment has no such event.",
    services.DriverNotFound: "There is no such driver.",
    services.CustomerNotFound: "There is no such customer.",
    services.DeviceKeyNotFound: "There is no such key.",
    services.LinkNotFound: "There is no such link.",
    PermissionDenied: "This is not allowed.",
    RequestDataTooBig: "The body is larger than 1,048,576 bytes.",
    UnreadablePostError: "The body broke off.",
    SuspiciousOperation: "The request cannot be understood.",
    DataError: "A value is out of range.",
    OutcomeUnknown: (
        "The database went away while this was being committed: it was done as a whole or not at all. Send it"
        " again with the same Idempotency-Key, or read what became of it."
    ),
}
_DETAIL_BY_CODE: Final = {"rate_limited": "The limit of this window is used up."}
_log = structlog.get_logger("shipments.api")


class PreconditionRequired(APIException):
    """The request lacks If-Match, which this change requires."""

    status_code = 428
    default_code = "precondition_required"
    default_detail = "Send If-Match with the ETag of the version that you have read."


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the problem response of a view's exception, None for an unexpected one (DRF's EXCEPTION_HANDLER).

    Records a Forbidden of an authenticated caller in the audit log.
    """
    body = problem_of(exc)
    if body is None:
        return None
    set_rollback()
    request: Request = context["request"]
    if body["status"] == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(exc, APIException):
        _log.warning("database unavailable", error=type(exc).__name__, reason=str(exc).partition("\n")[0][:200])
    if isinstance(exc, Forbidden) and isinstance(request.auth, Subject):
        services.record_denial(
            by=request.auth, now=clock.now(), method=str(request.method), path=request.path, reason=str(exc),
            user_id=getattr(exc, "user_id", None),
        )  # fmt: skip
    response = Response(_with_instance(body, request), status=body["status"], content_type=CONTENT_TYPE)
    for name, value in _headers(exc, body["status"]).items():
        response[name] = value
    return response


def problem_of(exc: Exception) -> dict[str, Any] | None:
    """Return the problem that describes an exception, without `instance`; None for an unexpected exception."""
    if isinstance(exc, InvalidFields):
        return problem("validation_error", str(exc), errors=exc.errors)
    if isinstance(exc, ValidationError):
        return problem("validation_error", _INVALID_VALUES_DETAIL, errors=list(_flatten(exc.get_full_details())))
    if isinstance(exc, services.InvalidArgument):
        errors = [field_error(exc.field, exc.code, str(exc))]
        return problem("validation_error", _INVALID_VALUES_DETAIL, errors=errors)
    if isinstance(exc, services.UnknownPlace):
        errors = [field_error("", "unknown_place", str(exc))]
        return problem("validation_error", _INVALID_VALUES_DETAIL, errors=errors)
    if isinstance(exc, IllegalTransition):
        return problem("illegal_transition", str(exc), current=exc.current, allowed=list(exc.allowed))
    if isinstance(exc, InvalidJson) and not isinstance(exc, JsonTooLarge):
        return problem("malformed_json", str(exc), errors=[field_error("", exc.code, str(exc))])
    if isinstance(exc, APIException):
        return _problem_of_api_exception(exc)
    if isinstance(exc, Http404):
        return problem("not_found", _NOT_FOUND_DETAIL)
    return _problem_of_domain_error(exc)


def _problem_of_api_exception(exc: APIException) -> dict[str, Any]:
    code = code_for(exc.status_code, str(exc.get_codes()))
    detail = _DETAIL_BY_CODE.get(code, "") if isinstance(exc, Throttled) else str(exc.detail)
    return problem(code, detail, status=exc.status_code)


def _problem_of_outage(exc: BaseException) -> dict[str, Any]:
    outage = outages.explain(exc)
    return problem(outage.code, outage.detail)


def _problem_of_domain_error(exc: Exception) -> dict[str, Any] | None:
    if isinstance(exc, OperationalError | InterfaceError):
        return _problem_of_outage(exc)
    for kind in type(exc).__mro__:
        if kind in _CODE_BY_ERROR:
            return problem(_CODE_BY_ERROR[kind], _DETAIL_BY_ERROR.get(kind, str(exc)), **_members(exc))
    return None


def _members(exc: Exception) -> dict[str, Any]:
    """Return what a program needs to know beside the code."""
    if isinstance(exc, InsufficientScope):
        return {"scope": exc.scope}
    return {"outcome": "unknown"} if isinstance(exc, OutcomeUnknown) else {}


def _with_instance(body: dict[str, Any], request: Request | HttpRequest) -> dict[str, Any]:
    return body | {"instance": iri_to_uri(request.path), "requestId": getattr(request, "request_id", "")}


def _headers(exc: Exception, status: int) -> dict[str, str]:
    headers = {}
    if isinstance(exc, APIException):
        if challenge := getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
        if wait := getattr(exc, "wait", None):
            headers["Retry-After"] = str(int(wait) + 1)
    if isinstance(exc, InsufficientScope):  # RFC 6750, section 3
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{exc.scope}"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE or isinstance(exc, KeyInFlight):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(exc, HashingBusy):
        headers["Retry-After"] = str(exc.retry_after)
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["Accept-Encoding"] = "identity"
    return headers


def _flatten(details: Any, path: str = "") -> Iterator[FieldError]:
    """Yield DRF's nested details as a flat list; a nested field is named `outer.inner`, an item `outer[0]`."""
    if isinstance(details, Mapping) and set(details) == {"message", "code"}:
        yield field_error(path, str(details["code"]), str(details["message"]))
    elif isinstance(details, Mapping):
        for name, inner in details.items():
            # An error of the object as a whole is reported under the name of the object.
            yield from _flatten(inner, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
    else:
        for position, inner in enumerate(details):
            is_error = isinstance(inner, Mapping) and set(inner) == {"message", "code"}
            yield from _flatten(inner, path if is_error else f"{path}[{position}]")


# -- outside of views: handlers of the root URLconf -------------------------------------------------------


def problem_response(request: HttpRequest, code: str, detail: str) -> HttpResponse:
    """Return a problem for a request that reached no view, or whose view failed."""
    return _response(request, problem(code, detail))


def _response(request: HttpRequest, body: dict[str, Any]) -> HttpResponse:
    status = body["status"]
    response = HttpResponse(encode(_with_instance(body, request)), status=status, content_type=CONTENT_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response


def outage_error() -> BaseException | None:
    """Return the exception being handled where it is one of the database that a retry may end, else None."""
    error = sys.exc_info()[1]
    return error if isinstance(error, OperationalError | InterfaceError) else None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return 413 for a body that is too large, 400 for any other suspicious operation."""
    if isinstance(exception, RequestDataTooBig):
        return problem_response(request, "body_too_large", _DETAIL_BY_ERROR[RequestDataTooBig])
    return problem_response(request, "malformed_request", _DETAIL_BY_ERROR[SuspiciousOperation])


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return 403."""
    return problem_response(request, "forbidden", _DETAIL_BY_ERROR[PermissionDenied])


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return 404 for a path that no route matches; the detail names the right path where a slash is too many."""
    path = re.sub("/{2,}", "/", request.path_info).rstrip("/")
    if path != request.path_info and is_valid_path(path):
        return problem_response(request, "unknown_path", f"The path has a slash too many; ask {path} instead.")
    return problem_response(request, "unknown_path", _NOT_FOUND_DETAIL)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return 503 while the database does not serve, else 500; never a traceback."""
    if error := outage_error():
        return _response(request, _problem_of_outage(error))
    return problem_response(request, "internal_error", "Something broke here; the request id finds it in the log.")
