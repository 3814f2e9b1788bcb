"""What the lists can be narrowed by and sorted by, and nothing else."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict

from shipments.api import parameters
from shipments.api.pagination import Order, Page, Query, Source, orders, page
from shipments.querysets import Viewer
from shipments.selectors import filters
from shipments.selectors.parameters import Parameter, parse_parameters
from shipments.selectors.parameters import apply_filters as kept

SHIPMENT_ORDERS: Final = orders(
    Order("createdAt", "created_at"),
    Order("updatedAt", "updated_at"),
    Order("eta", "eta", nullable=True),
    Order("reference", "reference_key", is_time=False),
)
NAME_ORDERS: Final = orders(Order("name", "name", is_time=False))


SHIPMENTS: Final[Mapping[str, Parameter]] = {
    **filters.SHIPMENT_FILTERS,
    **parameters.paging(tuple(SHIPMENT_ORDERS), "-createdAt"),
}
DRIVERS: Final[Mapping[str, Parameter]] = {**filters.DRIVER_FILTERS, **parameters.paging(tuple(NAME_ORDERS), "name")}
CUSTOMERS: Final[Mapping[str, Parameter]] = {
    "q": filters.NAME_FILTER,
    **parameters.paging(tuple(NAME_ORDERS), "name"),
}


def shipments(viewer: Viewer) -> Mapping[str, Parameter]:
    """This will return the parameters of a viewer's list of shipments."""
    return {**SHIPMENTS, **filters.shipment_filters(viewer)}


def narrowed(
    rows: Callable[[], QuerySet[Any]],
    asked: QueryDict,
    known: Mapping[str, Parameter],
    sorts: Mapping[str, Order],
    columns: tuple[str, ...],
    *,
    default: str,
    shape: Hashable = None,
) -> tuple[Query, Page]:
    """This will return the page that was asked for; `shape` tells what decides which `rows` there are.

    Raises errors.Invalid.
    """
    values = parse_parameters(asked, known)
    order = sorts[values.get("ordering", default)]
    filtering = {name: value for name, value in values.items() if known[name].apply_filter is not None}
    query = Query(order, {name: str(asked[name]) for name in filtering})
    source = Source(
        lambda given: kept(rows(), {name: given[name] for name in filtering}, known),
        filtering,
        None if any(known[name].runs_queries for name in filtering) else shape,
    )
    at = query.position(values["cursor"]) if "cursor" in values else None
    return query, page(source, order, columns, at=at, limit=values.get("limit", parameters.DEFAULT_LIMIT))
