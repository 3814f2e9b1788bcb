"""The limiter as a throttle of the REST framework."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from ratelimits import limiter, policies
from ratelimits.limiter import Usage


def count(request: HttpRequest, policy: str) -> Usage | None:
    """This will count a request by its subject, else by its address; None for an exempt service.

    What it found stays at `request.rate_limit`, from which the middleware writes the headers.
    """
    subject = getattr(request, "subject", None)
    request.rate_counted = True  # type: ignore[attr-defined]
    if limiter.is_exempt(subject):
        return None
    key = getattr(subject, "limit_key", None) or limiter.address_key(getattr(request, "client_address", None))
    usage = limiter.hit(policies.get(policy), key)
    request.rate_limit = usage  # type: ignore[attr-defined]
    return usage


class GeneralThrottle(BaseThrottle):
    """Holds every request of the API to the policy `general`."""

    policy = "general"
    _usage: Usage | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """This will count the request and tell whether it may go on."""
        self._usage = count(request._request, self.policy)  # noqa: SLF001  the one that the middleware sees
        return self._usage is None or self._usage.allowed

    def wait(self) -> float | None:
        """This will return the seconds until the window ends."""
        return self._usage.reset if self._usage else None
