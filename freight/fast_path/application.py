"""The fast path: answers the two hottest reads, one shipment and a page of shipments, without Django's middleware.

It is a second, shorter chain around the same functions: authentication, permission, limiter, metrics, log lines,
security headers and cached JSON are those of every other request, and a page is read in the steps that
`shipments.selectors.lists.parsing` describes. A request that is not plain (a session, a browser of another origin,
an unknown parameter, anything refused or failing) is declined before it is counted, and Django answers it as if
the fast path were not there. What the middleware of settings.MIDDLEWARE adds is written down here once more; the
system check in `checks` fails when that list changes.
"""

import io
from collections.abc import Callable
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch, resolve

from freight.fast_path.eligibility import LIST_PATH, NotEligible, is_eligible, reference_of
from freight.fast_path.reads import Reads
from freight.fast_path.security_headers import SecurityHeaders
from monitoring.middleware import request_context
from ratelimits import async_limiter, limiter, middleware
from shipments.api.http import conditional
from shipments.api.lists.responses import page_response
from shipments.auth.subjects import Subject
from shipments.selectors.lists.definitions import SHIPMENTS
from shipments.selectors.lists.parsing import parse_list_query

Application = Callable[[dict[str, Any], Any, Any], Any]


class FastPathApplication:
    """An ASGI application in front of Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._reads = Reads()
        self._security_headers = SecurityHeaders()
        self._resolver_matches: dict[bool, ResolverMatch] = {}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer an eligible read, and pass everything else on to Django."""
        response = None
        if scope["type"] == "http" and is_eligible(scope):
            try:
                response = await self._respond(self._request(scope))
            except Exception:  # noqa: BLE001  whatever failed, Django answers the request and reports it
                response = None
        if response is None:
            await self._django(scope, receive, send)
            return
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})

    def _request(self, scope: dict[str, Any]) -> HttpRequest:
        request = ASGIRequest(scope, io.BytesIO())
        is_detail = scope["path"] != LIST_PATH
        if is_detail not in self._resolver_matches:
            self._resolver_matches[is_detail] = resolve(scope["path"])
        request.resolver_match = self._resolver_matches[is_detail]
        return request

    async def _respond(self, request: HttpRequest) -> HttpResponse:
        """Do what settings.MIDDLEWARE does for such a request, in its order, around the read."""
        with request_context(request) as finish_response:
            security_headers = self._security_headers.for_request(request)
            subject, response = await (self._page if request.path == LIST_PATH else self._shipment)(request)
            usage = await async_limiter.check("general", subject.limit_key, subject=subject)
            usages = [usage] if usage else []
            if (wait := limiter.retry_after(usages)) is not None:
                response = middleware.refusal(request, wait)
            other_headers = {"Vary": "origin", "Content-Length": str(len(response.content))}
            for name, value in (*limiter.headers(usages).items(), *other_headers.items(), *security_headers):
                response.headers.setdefault(name, value)
            return finish_response(response)

    async def _shipment(self, request: HttpRequest) -> tuple[Subject, HttpResponse]:
        subject = await self._reads.subject(request)
        subject.require("shipment:follow")
        shipment = await self._reads.shipment(request, subject, reference_of(request.path))
        if shipment is None:
            raise NotEligible
        return subject, conditional.json_response(shipment.body, shipment.etag)

    async def _page(self, request: HttpRequest) -> tuple[Subject, HttpResponse]:
        subject, version = await self._reads.subject_with_version(request)
        subject.require("shipments:read")
        query = parse_list_query(SHIPMENTS, request.path, request.META["QUERY_STRING"], subject)
        return subject, page_response(request, await self._reads.page(query, version))
