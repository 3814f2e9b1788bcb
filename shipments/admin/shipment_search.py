"""The admin's search of shipments: by any reference (PO, bill of lading …), customer and driver, from indexes.

Unlike the search of the API it spans organisations, for superusers: rows come restricted to what the operator sees.
"""

from typing import Any, Final

from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Upper

from shipments.models import Customer, Driver
from shipments.models.shipment import SearchText
from shipments.querysets import Like, NameKey
from shipments.selectors.lists.search import TRIGRAM_INDEXED

HELP: Final = "A part of a reference, purchase order, bill of lading …, or the name of a customer or driver"
MAX_MATCHES: Final = 500


def is_searchable(text: str) -> bool:
    """Tell whether the trigram index answers the text; another would read every row."""
    return bool(TRIGRAM_INDEXED.search(text))


def search(shipments: QuerySet[Any], customers: QuerySet[Any], drivers: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Return the shipments that match a searchable text; the querysets are those that the operator may see.

    Of more than MAX_MATCHES references that hold the text, the newest count. Customers are found by their index,
    drivers by reading them: there are few.
    """
    pattern = f"%{connection.ops.prep_for_like_query(text.replace(chr(0), ''))}%"
    matching = shipments.filter(_like(SearchText(), pattern))
    keys = list(matching.order_by().values_list("pk", flat=True)[: MAX_MATCHES + 1])
    if len(keys) > MAX_MATCHES:  # many: soon met in the order of the list
        keys = list(matching.order_by("-created_at", "-id").values_list("pk", flat=True)[:MAX_MATCHES])
    condition = Q(pk__in=keys)
    for column, parties in (("customer_id", customers), ("driver_id", drivers)):
        rows = (
            parties.filter(Like(NameKey("name"), NameKey(Value(pattern)))).order_by().values_list("pk", flat=True)
        )
        if found := list(rows[:MAX_MATCHES]):
            condition |= Q(**{f"{column}__in": found})
    return shipments.filter(condition)


def visible_parties(admin_site: Any, request: Any) -> tuple[QuerySet[Customer], QuerySet[Driver]]:
    """Return the customers and drivers that the operator may see."""
    customers, drivers = (admin_site.get_model_admin(model).get_queryset(request) for model in (Customer, Driver))
    return customers, drivers


def _like(text: Any, pattern: str) -> Like:
    return Like(Upper(text), Upper(Value(pattern)))
