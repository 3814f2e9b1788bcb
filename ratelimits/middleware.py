"""Writes the rate limit headers, and counts the requests that no view has counted."""

import re
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse

from monitoring.problems.bodies import CONTENT_TYPE, problem
from ratelimits import limiter
from ratelimits.limiter import Usage
from ratelimits.throttling import count_request

_UNLIMITED: Final = re.compile(r"/api/(health|metrics)(/|$)")


class RateLimitHeadersMiddleware:
    """Sets `RateLimit-Policy` and `RateLimit` on every limited response.

    Synchronous only, and the innermost, so that Django adapts the whole chain to its thread once. A view refuses
    anonymous callers before its throttle runs, and an unknown path has no view: those requests are counted here, so
    that guessing of credentials or paths is limited, too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        path = request.path_info
        if not path.startswith("/api/") or _UNLIMITED.match(path):
            return response
        usages: list[Usage] | None = getattr(request, "rate_limits", None)
        if usages is None:
            usages = count_request(request, "general")
            wait = limiter.retry_after(usages)
            if wait is not None:
                response.close()
                response = refusal(request, wait)
        for name, value in limiter.headers(usages, getattr(request, "other_policy", None)).items():
            response.headers.setdefault(name, value)
        return response


def refusal(request: HttpRequest, wait: int) -> HttpResponse:
    """Return the 429 response to a request over a limit whose window ends in `wait` seconds."""
    return JsonResponse(
        problem(
            "rate_limited",
            f"The limit of this window is used up; try again in {wait} seconds.",
            instance=request.path,
            requestId=getattr(request, "request_id", ""),
        ),
        status=429,
        content_type=CONTENT_TYPE,
    )
