"""The lists of the API that page by keyset."""

from dataclasses import replace
from typing import Any, Final

from django.db.models.functions import Upper

from shipments import representation
from shipments.querysets import Viewer
from shipments.selectors import audit, parties
from shipments.selectors import shipments as selectors
from shipments.selectors.lists import filters
from shipments.selectors.lists.paging import Ordering, orderings
from shipments.selectors.lists.query import ListDefinition

_NAME_ORDERINGS: Final = orderings(Ordering("name", "name", is_time=False))


def _shipments(viewer: Viewer) -> Any:
    return selectors.visible_shipments(viewer).annotate(reference_key=Upper("reference"))


SHIPMENTS: Final = ListDefinition(
    rows=_shipments,
    columns=(*representation.SHIPMENT_COLUMNS, "reference_key"),
    filters=filters.SHIPMENT_FILTERS,
    bind_filters=filters.shipment_filters,
    orderings=orderings(
        Ordering("createdAt", "created_at"),
        Ordering("updatedAt", "updated_at"),
        Ordering("eta", "eta", nullable=True),
        Ordering("reference", "reference_key", is_time=False),
    ),
    default_ordering="-createdAt",
)
DRIVERS: Final = ListDefinition(
    rows=parties.drivers,
    columns=representation.DRIVER_COLUMNS,
    filters=filters.DRIVER_FILTERS,
    orderings=_NAME_ORDERINGS,
    default_ordering="name",
)
CUSTOMERS: Final = ListDefinition(
    rows=parties.customers,
    columns=representation.CUSTOMER_COLUMNS,
    filters={"q": filters.NAME_FILTER},
    orderings=_NAME_ORDERINGS,
    default_ordering="name",
)
AUDIT_LOG: Final = ListDefinition(
    rows=audit.audit_entries,
    columns=representation.AUDIT_COLUMNS,
    filters=filters.AUDIT_LIST_FILTERS,
    orderings=orderings(Ordering("at", "at")),
    default_ordering="-at",
)
# A list of its own: each of the two is read from the index in its order.
INSTALLATION_AUDIT_LOG: Final = replace(AUDIT_LOG, rows=audit.installation_entries)
