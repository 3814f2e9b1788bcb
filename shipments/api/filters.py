"""What the lists can be narrowed by and sorted by, and nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict

from shipments import lifecycle
from shipments.api import parameters, texts
from shipments.api.pagination import Order, Page, Query, orders, page
from shipments.api.parameters import IDENTIFIER, INSTANT, Parameter
from shipments.models import Driver
from shipments.querysets import Viewer
from shipments.selectors import search

SHIPMENT_ORDERS: Final = orders(
    Order("createdAt", "created_at"),
    Order("updatedAt", "updated_at"),
    Order("eta", "eta", nullable=True),
    Order("reference", "reference_key", is_time=False),
)
NAME_ORDERS: Final = orders(Order("name", "name", is_time=False))


SHIPMENTS: Final[dict[str, Parameter]] = {
    "status": Parameter(
        texts.some_of(lifecycle.STATES),
        f"One or several of {', '.join(lifecycle.STATES)}, separated by commas.",
        narrow=lambda rows, states: (
            rows.filter(status=states[0]) if len(states) == 1 else rows.filter(status__in=states)
        ),
    ),
    "driverId": Parameter(
        texts.identifier, "Assigned to this driver.", IDENTIFIER, lambda rows, key: rows.filter(driver_id=key)
    ),
    "customerId": Parameter(
        texts.identifier, "Of this customer.", IDENTIFIER, lambda rows, key: rows.filter(customer_id=key)
    ),
    "origin": Parameter(
        texts.locode, "From this UN/LOCODE.", narrow=lambda rows, code: rows.filter(origin__locode=code)
    ),
    "destination": Parameter(
        texts.locode, "To this UN/LOCODE.", narrow=lambda rows, code: rows.filter(destination__locode=code)
    ),
    "q": Parameter(
        texts.between(search.SHORTEST, 200),
        "The beginning of a reference, or a part of it, of one of the references, of the customer's name or of the"
        " name of an end of the way, or its UN/LOCODE. Where nothing holds it: what is most like it.",
        narrow=lambda rows, text: rows,  # depends on who asks: see `shipments`
    ),
    "createdAfter": Parameter(
        texts.instant, "Created at this time or later.", INSTANT, lambda rows, at: rows.filter(created_at__gte=at)
    ),
    "createdBefore": Parameter(
        texts.instant, "Created before this time.", INSTANT, lambda rows, at: rows.filter(created_at__lt=at)
    ),
    "updatedSince": Parameter(
        texts.instant, "Changed at this time or later.", INSTANT, lambda rows, at: rows.filter(updated_at__gte=at)
    ),
    "flag": Parameter(
        texts.one_of(lifecycle.FLAGS),
        "With this flag open.",
        parameters.words(lifecycle.FLAGS),
        lambda rows, flag: rows.filter(flags__contains=[{"flag": flag}]),
    ),
    **parameters.paging(tuple(SHIPMENT_ORDERS), "-createdAt"),
}


def shipments(viewer: Viewer) -> Mapping[str, Parameter]:
    """This will return the parameters of a viewer's list of shipments: only what it may see decides a search."""
    asked = replace(SHIPMENTS["q"], narrow=lambda rows, text: search.matching(rows, viewer, text))
    return SHIPMENTS | {"q": asked}


_NAMED: Final = Parameter(
    texts.up_to(120), "Stands in the name.", narrow=lambda rows, text: rows.filter(name__icontains=text)
)
DRIVERS: Final[Mapping[str, Parameter]] = {
    "q": _NAMED,
    "status": Parameter(
        texts.one_of(Driver.Status.values),
        "In this state.",
        parameters.words(tuple(Driver.Status.values)),
        lambda rows, status: rows.filter(status=status),
    ),
    **parameters.paging(tuple(NAME_ORDERS), "name"),
}
CUSTOMERS: Final[Mapping[str, Parameter]] = {"q": _NAMED, **parameters.paging(tuple(NAME_ORDERS), "name")}


def narrowed(
    rows: QuerySet[Any],
    asked: QueryDict,
    known: Mapping[str, Parameter],
    sorts: Mapping[str, Order],
    columns: tuple[str, ...],
    *,
    default: str,
) -> tuple[Query, Page]:
    """This will return the page that was asked for; raises errors.Invalid."""
    values = parameters.read(asked, known)
    for name, value in values.items():
        narrow = known[name].narrow
        if narrow is not None:
            rows = narrow(rows, value)
    order = sorts[values.get("ordering", default)]
    filters = {name: str(text) for name, text in asked.items() if known[name].narrow is not None}
    query = Query(order, filters)
    at = query.position(values["cursor"]) if "cursor" in values else None
    return query, page(rows, order, columns, at=at, limit=values.get("limit", parameters.DEFAULT_LIMIT))
