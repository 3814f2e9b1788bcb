"""The limiter as a throttle of the REST framework."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from ratelimits import limiter
from ratelimits.limiter import Usage


def count_request(request: HttpRequest, *names: str) -> list[Usage]:
    """Count a request by its subject, else by its address; empty for an exempt service.

    What it found stays at `request.rate_limits`, from which the middleware writes the headers.
    """
    subject = getattr(request, "subject", None)
    key = getattr(subject, "limit_key", None) or limiter.address_key(getattr(request, "client_address", None))
    usages = limiter.check(names, key, subject=subject)
    request.rate_limits = usages  # type: ignore[attr-defined]
    return usages


class GeneralThrottle(BaseThrottle):
    """Holds every request of the API to the policy `general`, and to those of its view (`rate_policies`)."""

    _usages: list[Usage] = []

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request and tell whether it may go on."""
        names = (*getattr(view, "rate_policies", ()), "general")
        self._usages = count_request(request._request, *names)
        return limiter.retry_after(self._usages) is None

    def wait(self) -> float | None:
        """Return the seconds until the window ends."""
        return limiter.retry_after(self._usages)
