"""The read lane: the two hottest reads (a shipment, a page of them) past Django's router, sessions, forms and DRF.

It is a second, shorter chain around the same functions: authentication, permission, limiter, metrics, log lines,
security headers and prepared bytes are those of every other request. Whatever is not the plain case (a session, a
browser of another origin, an unknown parameter, anything refused or failing) it declines, and Django answers as if
the lane were not there.
"""

import asyncio
import io
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch, resolve
from django.utils import timezone

from monitoring.middleware import RequestContextMiddleware
from ratelimits.middleware import RateLimitHeadersMiddleware
from shipments import access
from shipments.access import Subject
from shipments.api import authentication, conditional, pagination
from shipments.api.views_shipments import listed
from shipments.identifiers import REFERENCE
from shipments.selectors import prepared

Application = Callable[[dict[str, Any], Any, Any], Any]
_LIST: Final = "/api/shipments"
_RESERVED: Final = frozenset({"bulk", "export"})
_ACCEPTED: Final = re.compile(rb"\*/\*|application/(\*|json)")
# A request with one of these is not the plain case.
_NOT_PLAIN: Final = frozenset({b"origin", b"cookie", b"range", b"x-http-method-override"})
# A search asks several questions, some of them slow: none of the few threads shall wait for it.
_SEARCHES: Final = re.compile(rb"(^|&)q=")
# Each has to get the interpreter back after each word with PostgreSQL or Redis. Eight spend up to a third more
# processor time than four, in taking it from each other, and answer less.
_THREADS: Final = 4


class Declined(Exception):
    """This request is Django's."""


class ReadLane:
    """An ASGI application in front of Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="read-lane")
        self._chain = _chain()
        self._routes: dict[bool, ResolverMatch] = {}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """This will answer a hot read, and hand everything else on."""
        response = None
        if scope["type"] == "http" and is_plain(scope):
            loop = asyncio.get_running_loop()
            # What it waits for a silent database counts when Django tries next.
            context = copy_context()
            response = await loop.run_in_executor(self._threads, context.run, self._answer, scope)
        if response is None:
            await self._django(scope, receive, send)
            return
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})

    def _answer(self, scope: dict[str, Any]) -> HttpResponse | None:
        """This will return the whole answer, None where the lane declines."""
        try:
            request = ASGIRequest(scope, io.BytesIO())
            one = scope["path"] != _LIST
            if one not in self._routes:
                self._routes[one] = resolve(scope["path"])
            request.resolver_match = self._routes[one]
            return self._chain(request)
        except Exception:  # noqa: BLE001  refused or failing: Django says how, with its own reading
            return None
        finally:
            close_old_connections()


def is_plain(scope: dict[str, Any]) -> bool:
    """This will tell whether a request looks like a program's read of a shipment or a page of them."""
    path = scope["path"]
    if scope["method"] != "GET" or not path.startswith(_LIST):
        return False
    reference = path[len(_LIST) + 1 :]
    if path != _LIST and (
        path[len(_LIST)] != "/"
        or not REFERENCE.fullmatch(reference)
        or reference in _RESERVED
        or scope["query_string"]
    ):
        return False
    if _SEARCHES.search(scope["query_string"]):
        return False
    names = [name for name, _ in scope["headers"]]
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"*/*")
    plain = not _NOT_PLAIN.intersection(names) and names.count(b"authorization") == 1 and names.count(b"host") == 1
    return plain and bool(_ACCEPTED.search(accept))


def _chain() -> Callable[[HttpRequest], HttpResponse]:
    """This will put those of settings.MIDDLEWARE around the read that have to do with it, in their order."""
    chain: Any = RequestContextMiddleware(_Secured(RateLimitHeadersMiddleware(_read)))
    answer: Callable[[HttpRequest], HttpResponse] = chain
    return answer


class _Secured:
    """Puts the headers of Django's security middlewares on an answer: the same on all that come the same way.

    They tell them once, with a first answer; what they redirect or refuse they are asked about each time.
    """

    def __init__(self, inner: Callable[[HttpRequest], HttpResponse]) -> None:
        self._inner = inner
        self._asked = SecurityMiddleware(CSPMiddleware(XFrameOptionsMiddleware(self._bare)))
        self._told: dict[bool, list[tuple[str, str]]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        secure = bool(request.is_secure())
        told = self._told.get(secure)
        if told is None:
            response: Any = self._asked(request)
            bare = getattr(request, "bare_headers", None)
            if bare is not None:
                self._told[secure] = [pair for pair in response.items() if pair[0] not in bare]
            return response  # type: ignore[no-any-return]
        answered = self._inner(request)
        for name, value in told:
            answered.headers.setdefault(name, value)
        return answered

    def _bare(self, request: HttpRequest) -> HttpResponse:
        response = self._inner(request)
        request.bare_headers = set(response.headers)  # type: ignore[attr-defined]
        return response


def _read(request: HttpRequest) -> HttpResponse:
    domain, _ = split_domain_port(request._get_raw_host())  # type: ignore[attr-defined]  # noqa: SLF001  unchecked
    if not validate_host(domain, settings.ALLOWED_HOSTS):
        raise Declined
    subject = _subject(request)
    if request.path == _LIST:
        return _page(request, subject)
    return _shipment(request, subject, request.path[len(_LIST) + 1 :])


def _subject(request: HttpRequest) -> Subject:
    scheme, _, raw = request.META["HTTP_AUTHORIZATION"].partition(" ")
    subject = access.authenticate_token(raw.strip(), now=timezone.now()) if scheme.lower() == "bearer" else None
    if subject is None:
        raise Declined
    request.subject = authentication.located(subject, request)  # type: ignore[attr-defined]
    return subject


def _shipment(request: HttpRequest, subject: Subject, reference: str) -> HttpResponse:
    subject.require("shipment:follow")
    fresh = partial(conditional.is_fresh, request)
    shown = prepared.shipment(subject, subject.variant, reference, has=fresh)
    if shown is None:
        raise Declined
    return _answered(shown.body, shown.etag)


def _page(request: HttpRequest, subject: Subject) -> HttpResponse:
    subject.require("shipments:read")
    page = listed(request, subject)
    response = _answered(None if conditional.is_fresh(request, page.etag) else page.body, page.etag)
    if links := pagination.link({"next": page.next, "previous": page.previous}):
        response["Link"] = links
    return response


def _answered(body: bytes | None, etag: str) -> HttpResponse:
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Type": "application/json",
        "Vary": "origin",
    }
    response = HttpResponse(body or b"", status=304 if body is None else 200, headers=headers)
    response["Content-Length"] = str(len(response.content))
    if body is None:
        del response["Content-Type"]
    return response
