"""What the lists can be narrowed by and sorted by, and nothing else."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict

from shipments.api.lists import parameters
from shipments.api.lists.pagination import ListQuery, Ordering, Page, RowSource, fetch_keyset_page, orderings
from shipments.parsing.query_parameters import Parameter, parse_parameters
from shipments.parsing.query_parameters import apply_filters as narrow_rows
from shipments.querysets import Viewer
from shipments.selectors.lists import filters

SHIPMENT_ORDERS: Final = orderings(
    Ordering("createdAt", "created_at"),
    Ordering("updatedAt", "updated_at"),
    Ordering("eta", "eta", nullable=True),
    Ordering("reference", "reference_key", is_time=False),
)
NAME_ORDERS: Final = orderings(Ordering("name", "name", is_time=False))


SHIPMENTS: Final[Mapping[str, Parameter]] = {
    **filters.SHIPMENT_FILTERS,
    **parameters.paging(tuple(SHIPMENT_ORDERS), "-createdAt"),
}
DRIVERS: Final[Mapping[str, Parameter]] = {
    **filters.DRIVER_FILTERS,
    **parameters.paging(tuple(NAME_ORDERS), "name"),
}
CUSTOMERS: Final[Mapping[str, Parameter]] = {
    "q": filters.NAME_FILTER,
    **parameters.paging(tuple(NAME_ORDERS), "name"),
}


def shipment_parameters(viewer: Viewer) -> Mapping[str, Parameter]:
    """Return the parameters of a viewer's list of shipments."""
    return {**SHIPMENTS, **filters.shipment_filters(viewer)}


def fetch_list(
    rows: Callable[[], QuerySet[Any]],
    query_dict: QueryDict,
    parameters_by_name: Mapping[str, Parameter],
    orderings: Mapping[str, Ordering],
    columns: tuple[str, ...],
    *,
    default: str,
    shape: Hashable = None,
) -> tuple[ListQuery, Page]:
    """Return the page that was asked for; `shape` tells what decides which `rows` there are.

    Raises errors.Invalid.
    """
    values = parse_parameters(query_dict, parameters_by_name)
    order = orderings[values.get("ordering", default)]
    filtering = {name: value for name, value in values.items() if parameters_by_name[name].apply_filter is not None}
    query = ListQuery(order, {name: str(query_dict[name]) for name in filtering})
    source = RowSource(
        lambda filter_values: narrow_rows(
            rows(), {name: filter_values[name] for name in filtering}, parameters_by_name
        ),
        filtering,
        None if any(parameters_by_name[name].runs_queries for name in filtering) else shape,
    )
    at = query.position(values["cursor"]) if "cursor" in values else None
    return query, fetch_keyset_page(
        source, order, columns, at=at, limit=values.get("limit", parameters.DEFAULT_LIMIT)
    )
