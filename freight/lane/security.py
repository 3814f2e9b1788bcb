"""The headers of Django's security middlewares, and its check of the host, for the answers of the lane."""

from collections.abc import Sequence
from typing import Any

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from freight.lane.plain import Declined

Headers = Sequence[tuple[str, str]]


class Security:
    """Asks the middlewares once: what they put on an answer is the same on all that come the same way."""

    def __init__(self) -> None:
        self._asked: Any = SecurityMiddleware(CSPMiddleware(XFrameOptionsMiddleware(_bare)))
        self._told: dict[bool, Headers] = {}

    def headers(self, request: HttpRequest) -> Headers:
        """This will return the headers for the answer; raises Declined where they redirect, or refuse the host."""
        domain, _ = split_domain_port(request._get_raw_host())  # type: ignore[attr-defined]  # noqa: SLF001  unchecked
        if not validate_host(domain, settings.ALLOWED_HOSTS):
            raise Declined
        secure = bool(request.is_secure())
        told = self._told.get(secure)
        if told is None:
            response = self._asked(request)
            if response.status_code != _BARE:
                raise Declined
            del response["Content-Type"]
            told = self._told[secure] = list(response.items())
        return told


_BARE = 299  # a status that no middleware answers with


def _bare(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=_BARE)
