"""The read lane: the two hottest reads (a shipment, a page of them) past Django's router, sessions, forms and DRF.

It is a second, shorter chain around the same functions: authentication, permission, limiter, metrics, log lines,
security headers and prepared bytes are those of every other request. Whatever is not the plain case (a session, a
browser of another origin, an unknown parameter, anything refused or failing) it declines before it is counted, and
Django answers as if the lane were not there.
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
from shipments.api.lists import pagination
from shipments.auth.subjects import Subject

Application = Callable[[dict[str, Any], Any, Any], Any]


class FastPathApplication:
    """An ASGI application in front of Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._reads = Reads()
        self._security_headers = SecurityHeaders()
        self._resolver_matches: dict[bool, ResolverMatch] = {}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a hot read, and hand everything else on."""
        response = None
        if scope["type"] == "http" and is_eligible(scope):
            try:
                response = await self._respond(self._request(scope))
            except Exception:
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
        """Do what those of settings.MIDDLEWARE do that have to do with it, in their order."""
        with request_context(request) as finish_response:
            headers = self._security_headers.for_request(request)
            subject, response = await (self._page if request.path == LIST_PATH else self._shipment)(request)
            usage = await async_limiter.check("general", subject.limit_key, subject=subject)
            usages = [usage] if usage else []
            if (wait := limiter.retry_after(usages)) is not None:
                response = middleware.refusal(request, wait)
            for name, value in (*limiter.headers(usages).items(), *headers):
                response.headers.setdefault(name, value)
            return finish_response(response)

    async def _shipment(self, request: HttpRequest) -> tuple[Subject, HttpResponse]:
        subject = await self._reads.subject(request)
        subject.require("shipment:follow")
        rendered = await self._reads.shipment(request, subject, reference_of(request.path))
        if rendered is None:
            raise NotEligible
        return subject, _json_response(rendered.body, rendered.etag)

    async def _page(self, request: HttpRequest) -> tuple[Subject, HttpResponse]:
        subject, version = await self._reads.subject_with_version(request)
        subject.require("shipments:read")
        page, etag = await self._reads.page(request, subject, version)
        response = _json_response(None if conditional.is_fresh(request, etag) else page.body, etag)
        if links := pagination.link_header({"next": page.next, "previous": page.previous}):
            response["Link"] = links
        return subject, response


def _json_response(body: bytes | None, etag: str) -> HttpResponse:
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
