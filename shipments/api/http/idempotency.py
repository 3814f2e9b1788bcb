"""Idempotency-Key: a write that is retried, because its response was lost, has its effect once.

`@idempotent_write` decorates every view method that writes: it runs the method in one transaction (see
`services.transactions`), with or without a key.
"""

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponse, RawPostDataException
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring import clock
from shipments.api.authentication import subject_of
from shipments.api.http.errors import problem_response
from shipments.api.http.renderers import encode
from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.services import idempotency, transactions
from shipments.services.idempotency import StoredResponse

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_STORED_HEADERS: Final = ("Cache-Control", "ETag", "Location")

_TAKES_KEY: Final = "takes_idempotency_key"

Arguments = ParamSpec("Arguments")
View = TypeVar("View")
Method = TypeVar("Method", bound=Callable[..., Any])


def idempotent_write(
    method: Callable[Concatenate[View, Request, Arguments], HttpResponse],
) -> Callable[Concatenate[View, Request, Arguments], HttpResponse]:
    """Run a view's method in one transaction, once per Idempotency-Key.

    The method may run several times (after a deadlock); it returns a success or raises. A response is stored in
    the same transaction as its effect. Raises KeyInFlight, KeyReused, OutcomeUnknown.
    """

    @wraps(method)
    def write(view: View, request: Request, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        key = _key(request)
        if key is None:
            return transactions.run_in_transaction(lambda: method(view, request, *args, **kwargs))
        subject, fingerprint = subject_of(request), _fingerprint(request)

        def once() -> HttpResponse:
            return _run_once_per_key(subject, key, fingerprint, lambda: method(view, request, *args, **kwargs))

        return transactions.run_in_transaction(once)

    return takes_key(write)


def takes_key(method: Method) -> Method:
    """Mark a view's method as one that remembers Idempotency-Keys, by an `idempotent_write` inside it."""
    setattr(method, _TAKES_KEY, True)
    return method


class RefuseIdempotencyKeyMiddleware:
    """Refuses a write with an Idempotency-Key at an operation that would not remember it: 400.

    Silence would have the client believe that it may repeat the request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Return the refusal, None for every other request; a method that the view lacks is a 405, later."""
        if HEADER not in request.headers or request.method not in {"POST", "PATCH", "PUT"}:
            return None
        method = getattr(getattr(view, "view_class", None), request.method.lower(), None)
        if method is None or hasattr(method, _TAKES_KEY):
            return None
        return problem_response(request, "idempotency_unsupported", "")


def _run_once_per_key(
    subject: Subject, key: str, fingerprint: bytes, call: Callable[[], HttpResponse]
) -> HttpResponse:
    claim = idempotency.claim(by=subject, now=clock.now(), key=key, fingerprint=fingerprint)
    if isinstance(claim, StoredResponse):
        return _replay(claim)
    response = call()
    idempotency.store_response(claim, _to_stored(response))
    return response


def _key(request: Request) -> str | None:
    key: str | None = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        message = "Give 1 to 255 printable ASCII characters."
        raise InvalidFields([field_error(HEADER, "invalid", message)])
    return key


def _fingerprint(request: Request) -> bytes:
    # Neither method nor path holds a line break.
    head = f"{request.method}\n{request.path}\n".encode("utf-8", "surrogatepass")
    body_digest: bytes | None = getattr(request, "body_digest", None)
    if body_digest is not None:  # set by a view that has parsed a multipart body
        return hashlib.sha256(head + body_digest).digest()
    try:
        # The raw bytes, not the parsed values. Django keeps them, so the parser can still read the body.
        body = request.body
    except RawPostDataException as error:  # a form with files, read already by the CSRF check
        raise UnsupportedMediaType(request.content_type) from error
    return hashlib.sha256(head + body).digest()


def _to_stored(response: HttpResponse) -> StoredResponse:
    headers = {name: response[name] for name in _STORED_HEADERS if name in response}
    if not isinstance(response, Response):
        return StoredResponse(response.status_code, headers, response.content)
    # DRF renders its responses only after the transaction.
    body = b"" if response.data is None else encode(response.data)
    return StoredResponse(response.status_code, headers, body)


def _replay(stored: StoredResponse) -> HttpResponse:
    headers = stored.headers | {REPLAYED_HEADER: "true"}
    # A response without a body has no Content-Type.
    response = HttpResponse(stored.body, status=stored.status, content_type="application/json", headers=headers)
    if not stored.body:
        del response["Content-Type"]
    return response
