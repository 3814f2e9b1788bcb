"""The limiter as a throttle of Django REST framework."""

from typing import Any, Final

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from ratelimits import limiter, policies
from ratelimits.limiter import Usage

# The key of the ASGI scope with the usages of a request that was counted before Django saw it.
USAGES_KEY: Final = "freight.usages"


def count_request(request: HttpRequest, *names: str) -> list[Usage]:
    """Count a request by its subject, else by its address, and return the usages; none for an exempt service.

    A request that was counted before Django saw it brings its usages in the scope, and is not counted again. The
    usages are kept as `request.rate_limits`, from which the middleware writes the headers.
    """
    counted: list[Usage] | None = getattr(request, "scope", {}).get(USAGES_KEY)
    subject = getattr(request, "subject", None)
    usages = limiter.check(names, _limit_key(request), subject=subject) if counted is None else counted
    request.rate_limits = usages  # type: ignore[attr-defined]  # our attribute
    return usages


def _limit_key(request: HttpRequest) -> str:
    key: str | None = getattr(getattr(request, "subject", None), "limit_key", None)
    return key or limiter.address_key(getattr(request, "client_address", None))


class GeneralThrottle(BaseThrottle):
    """Applies the policy `general` and those of the view (`rate_policies`) to every request of the API.

    A view with a `base_policy` of its own is counted by that instead of `general`, which RateLimit-Policy still
    lists: it counts the caller's other requests.
    """

    _usages: list[Usage] = []

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request and return whether it is within its limits."""
        base_policy = getattr(view, "base_policy", "general")
        # The framework has no public name for Django's request.
        http_request = request._request  # noqa: SLF001  as above
        self._usages = count_request(http_request, *getattr(view, "rate_policies", ()), base_policy)
        if base_policy != "general" and self._usages:
            general = policies.for_key("general", _limit_key(http_request))
            http_request.other_policy = general  # type: ignore[attr-defined]  # our attribute
        return limiter.retry_after(self._usages) is None

    def wait(self) -> float | None:
        """Return the seconds until every exceeded window has ended."""
        return limiter.retry_after(self._usages)
