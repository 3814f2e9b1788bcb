"""Idempotency-Key: a write that is sent again, because its answer got lost, has its effect once.

`@written` stands on every method that writes: it makes the method one transaction (see `services.commits`), with
or without a key.
"""

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar

from django.http import HttpResponse, RawPostDataException
from django.utils import timezone
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from shipments.access import Subject
from shipments.api.authentication import subject_of
from shipments.api.renderers import encode
from shipments.selectors.parameters import InvalidFields, field_error
from shipments.services import commits, idempotency
from shipments.services.idempotency import Answer

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_KEPT_HEADERS: Final = ("Cache-Control", "ETag", "Location")

Arguments = ParamSpec("Arguments")
View = TypeVar("View")


def written(
    method: Callable[Concatenate[View, Request, Arguments], HttpResponse],
) -> Callable[Concatenate[View, Request, Arguments], HttpResponse]:
    """This will return the view's method as one transaction that has its effect once per key.

    The method may run several times (after a deadlock), and answers with success or raises.
    """

    @wraps(method)
    def write(view: View, request: Request, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        key = _key(request)
        if key is None:
            return commits.committed(lambda: method(view, request, *args, **kwargs))
        subject, fingerprint = subject_of(request), _fingerprint(request)

        def once() -> HttpResponse:
            return _once(subject, key, fingerprint, lambda: method(view, request, *args, **kwargs))

        return commits.committed(once)

    return write


def _once(subject: Subject, key: str, fingerprint: bytes, answer: Callable[[], HttpResponse]) -> HttpResponse:
    found = idempotency.claim(by=subject, now=timezone.now(), key=key, fingerprint=fingerprint)
    if isinstance(found, Answer):
        return _replayed(found)
    response = answer()
    idempotency.keep(found, _stored(response))
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
    told: bytes | None = getattr(request, "body_digest", None)
    if told is not None:  # the view has read a body of its own kind
        return hashlib.sha256(head + told).digest()
    try:
        # The bytes, not the values; the parser then reads what is kept here.
        body = request._request.body  # noqa: SLF001
    except RawPostDataException as error:  # a form with files, which looking for its CSRF token has read
        raise UnsupportedMediaType(request.content_type) from error
    return hashlib.sha256(head + body).digest()


def _stored(response: HttpResponse) -> Answer:
    kept = {name: response[name] for name in _KEPT_HEADERS if name in response}
    # Rendered later, when the transaction is over.
    data = response.data if isinstance(response, Response) else None
    return Answer(response.status_code, kept, b"" if data is None else encode(data))


def _replayed(found: Answer) -> HttpResponse:
    headers = found.headers | {REPLAYED: "true"}
    # An answer without a body has no type either.
    response = HttpResponse(found.body, status=found.status, content_type="application/json", headers=headers)
    if not found.body:
        del response["Content-Type"]
    return response
