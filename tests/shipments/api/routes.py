"""Every route of the API, by its template."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLResolver, get_resolver


def _routes(resolver: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for each in resolver.url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _routes(each, route)
        elif route.startswith("api/"):
            yield route, each


def api_routes() -> dict[str, Any]:
    """Return the routes below `/api/` of every app."""
    return dict(_routes(get_resolver("freight.urls"), ""))


def filled(route: str, identifier: object, reference: str = "X-1") -> str:
    """Return a path of the route."""
    return "/" + re.sub("<reference:[a-z_]+>", reference, re.sub("<id:[a-z_]+>", str(identifier), route))
