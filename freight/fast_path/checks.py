"""The system check that keeps the fast path and settings.MIDDLEWARE in step."""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

# The middleware that `application.FastPathApplication` stands in for, and what it does about each.
MIDDLEWARE: Final = (
    "monitoring.middleware.RequestContextMiddleware",  # request_context
    "monitoring.middleware.DjangoMetricsMiddleware",  # counts what passes Django: nothing
    "django.middleware.security.SecurityMiddleware",  # SecurityHeaders
    "csp.middleware.CSPMiddleware",  # SecurityHeaders
    "corsheaders.middleware.CorsMiddleware",  # requests with an Origin are Django's; Vary
    "django.contrib.sessions.middleware.SessionMiddleware",  # requests with a cookie are Django's
    "django.middleware.common.CommonMiddleware",  # Content-Length; other paths are Django's
    "django.middleware.csrf.CsrfViewMiddleware",  # only GET
    "django.contrib.auth.middleware.AuthenticationMiddleware",  # only bearer tokens
    "django.contrib.messages.middleware.MessageMiddleware",  # no messages without a session
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # SecurityHeaders
    "shipments.api.http.idempotency.RefuseIdempotencyKeyMiddleware",  # only GET
    "ratelimits.middleware.RateLimitHeadersMiddleware",  # async_limiter, limiter.headers
)


@register
def check_middleware(**_: Any) -> list[CheckMessage]:
    """Fail where settings.MIDDLEWARE is not the list that the fast path was written against."""
    configured = tuple(settings.MIDDLEWARE)
    if configured == MIDDLEWARE:
        return []
    unknown = [name for name in configured if name not in MIDDLEWARE]
    missing = [name for name in MIDDLEWARE if name not in configured]
    parts = [f"{word}: {', '.join(names)}" for word, names in (("unknown", unknown), ("missing", missing)) if names]
    return [
        Error(
            "settings.MIDDLEWARE is not the list that the fast path was written against "
            f"({'; '.join(parts) or 'the order differs'}).",
            hint="Decide in freight/fast_path/application.py what the fast path does about it, then change "
            "MIDDLEWARE in freight/fast_path/checks.py.",
            obj="freight.fast_path",
            id="freight.E001",
        )
    ]
