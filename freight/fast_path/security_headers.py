"""The headers of Django's security middleware, and its check of the host, for responses of the fast path."""

from collections.abc import Sequence
from typing import Any

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from freight.fast_path.eligibility import NotEligible

Headers = Sequence[tuple[str, str]]


class SecurityHeaders:
    """Runs the middleware once for HTTP and once for HTTPS: their headers are the same on all responses."""

    def __init__(self) -> None:
        self._middleware_chain: Any = SecurityMiddleware(CSPMiddleware(XFrameOptionsMiddleware(_probe_response)))
        self._headers_by_scheme: dict[bool, Headers] = {}

    def for_request(self, request: HttpRequest) -> Headers:
        """Return the headers; raises NotEligible where the middleware redirects or the host is not allowed."""
        domain, _ = split_domain_port(request._get_raw_host())  # type: ignore[attr-defined]  # noqa: SLF001  `get_host` raises where this declines
        if not validate_host(domain, settings.ALLOWED_HOSTS):
            raise NotEligible
        secure = bool(request.is_secure())
        headers = self._headers_by_scheme.get(secure)
        if headers is None:
            response = self._middleware_chain(request)
            if response.status_code != _PROBE_STATUS:
                raise NotEligible
            del response["Content-Type"]
            headers = self._headers_by_scheme[secure] = list(response.items())
        return headers


_PROBE_STATUS = 299  # no middleware responds with it


def _probe_response(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=_PROBE_STATUS)
