"""Query parameters of the API: those of every list, and how the schema is told."""

from collections.abc import Mapping
from typing import Final

from drf_spectacular.utils import OpenApiParameter

from shipments.parsing.query_parameters import Parameter, enum_schema, parse_parameters
from shipments.parsing.values import choice, text_up_to, whole_number

__all__ = ["DEFAULT_LIMIT", "MAX_LIMIT", "openapi_parameters", "paging", "parse_parameters"]

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50


def paging(orders: tuple[str, ...], default: str) -> dict[str, Parameter]:
    """Return the parameters of every list."""
    return {
        "ordering": Parameter(
            choice(orders), f"The order; `-` turns it round. Default `{default}`.", enum_schema(orders)
        ),
        "limit": Parameter(
            whole_number(1, MAX_LIMIT),
            f"The most results of a page. Default {DEFAULT_LIMIT}.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        ),
        "cursor": Parameter(
            text_up_to(2000),
            "Where the page begins: taken from `next` or `previous`, together with the same filters and ordering.",
        ),
    }


def openapi_parameters(parameters: Mapping[str, Parameter]) -> list[OpenApiParameter]:
    """Return the parameters as the schema lists them."""
    return [
        OpenApiParameter(name, dict(each.schema), OpenApiParameter.QUERY, description=each.description)
        for name, each in parameters.items()
    ]
