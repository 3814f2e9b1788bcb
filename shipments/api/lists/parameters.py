"""Query parameters as the OpenAPI document lists them."""

from collections.abc import Mapping

from drf_spectacular.utils import OpenApiParameter

from shipments.parsing.query_parameters import Parameter


def openapi_parameters(parameters: Mapping[str, Parameter]) -> list[OpenApiParameter]:
    """Return the parameters for `extend_schema`."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in parameters.items()
    ]
