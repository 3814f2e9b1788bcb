"""The OpenAPI document and the page that shows it."""

from functools import lru_cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return document


class SchemaView(SpectacularJSONAPIView):
    """The OpenAPI document, generated once per process."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return OpenAPI 3.1 as JSON."""
        return Response(_document())


class DocsView(SpectacularSwaggerSplitView):
    """A page to read and try the API; its script and style are static files, so the site's CSP holds."""

    template_name = "shipments/api_docs.html"
