"""The limiter as a throttle of Django REST framework."""

from typing import Any, Final

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from ratelimits import limiter
from ratelimits.limiter import Usage

# The key of the ASGI scope with the usages of a request that was counted before Django saw it.
USAGES_KEY: Final = "freight.usages"


def count_request(request: HttpRequest, *names: str) -> list[Usage]:
    """Count a request by its subject, else by its address, and return the usages; none for an exempt service.

    A request that was counted before Django saw it brings its usages in the scope, and is not counted again. The
    usages are kept as `request.rate_limits`, from which the middleware writes the headers.
    """
    subject = getattr(request, "subject", None)
    key = getattr(subject, "limit_key", None) or limiter.address_key(getattr(request, "client_address", None))
    counted: list[Usage] | None = getattr(request, "scope", {}).get(USAGES_KEY)
    usages = limiter.check(names, key, subject=subject) if counted is None else counted
    request.rate_limits = usages  # type: ignore[attr-defined]  # our attribute
    return usages


class GeneralThrottle(BaseThrottle):
    """Applies the policy `general` and those of the view (`rate_policies`) to every request of the API."""

    _usages: list[Usage] = []

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request and return whether it is within its limits."""
        names = (*getattr(view, "rate_policies", ()), "general")
        # The framework has no public name for Django's request.
        self._usages = count_request(request._request, *names)  # noqa: SLF001  as above
        return limiter.retry_after(self._usages) is None

    def wait(self) -> float | None:
        """Return the seconds until every exceeded window has ended."""
        return limiter.retry_after(self._usages)
