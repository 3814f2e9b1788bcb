"""Structured logs on standard error: one JSON object a line, or readable columns on a terminal."""

import logging.config
import re
import sys
from typing import Any, Final

import structlog

_SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "ticket", "refresh", "access")
# API keys are recognisable by their prefix (shipments.auth.tokens).
_API_KEY: Final = re.compile(r"\b(fr[kdt]_)[A-Za-z0-9_-]{16,}")
# As are the JSON Web Tokens of logins: every header begins alike.
_JWT: Final = re.compile(r"\b(eyJ)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2}")
# What may be secret of an address, such as of a Referer that Django refuses.
_URL: Final = re.compile(r"(https?://[^/?\s]*)[/?]\S*")
# Of a line of Django's own about a request: it may quote a header of 16 KB.
_MAX_EVENT_CHARACTERS: Final = 300


def mask(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Mask the values of log keys that name a secret."""
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
    return event


def scrub(_: object, __: str, line: str) -> str:
    """Mask API keys and tokens anywhere in a rendered line, such as in an exception's text or a URL."""
    return _JWT.sub(r"\1***", _API_KEY.sub(r"\1***", line))


def hide_path(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Replace the path in a line of Django's own about a request by its route, and keep the line short.

    A path may hold a secret, and whatever else a stranger has typed; a traceback of what a client did wrong says
    nothing of use.
    """
    request = event.pop("request", None)
    if request is None:
        return event
    from monitoring.middleware import route_template  # settings are read before any application

    # As `django.utils.log.log_response` writes it.
    path = str(request.path).encode("unicode_escape").decode("ascii")
    text = str(event["event"])
    if text.endswith(f": {path}"):
        text = text.removesuffix(path) + route_template(request)
    if event.get("status_code", 500) < 500:
        event.pop("exc_info", None)
    event["event"] = _URL.sub(r"\1/***", text)[:_MAX_EVENT_CHARACTERS]
    return event


def configure(*, level: str) -> None:
    """Route structlog and the standard library's logging through one chain of processors."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask,
    ]
    if sys.stderr.isatty():
        final: list[Any] = [structlog.dev.ConsoleRenderer(), scrub]
    else:
        final = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str), scrub]
    structlog.configure(
        # First, so that a line below the level costs next to nothing.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [*shared, structlog.stdlib.ExtraAdder(), hide_path],
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "django": {"level": level},
                # monitoring.middleware logs each request.
                "django.request": {"level": "ERROR"},
                "daphne.http_protocol": {"level": "WARNING"},
                "daphne.ws_protocol": {"level": "WARNING"},
                "fontTools": {"level": "WARNING"},
                # It says at its import that it logs.
                "pikepdf": {"level": "WARNING"},
            },
        }
    )
