"""What can be asked for in lists and reports alike: shipments, drivers, customers, the audit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from django.db.models.functions import Upper

from shipments import lifecycle, texts
from shipments.models import Driver, EventType
from shipments.querysets import Viewer
from shipments.selectors import parameters, search
from shipments.selectors.parameters import IDENTIFIER, INSTANT, Parameter

SHIPMENTS: Final[Mapping[str, Parameter]] = {
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
}


def shipments(viewer: Viewer) -> Mapping[str, Parameter]:
    """This will return the parameters of a viewer's shipments: only what it may see decides a search."""
    asked = replace(SHIPMENTS["q"], narrow=lambda rows, text: search.matching(rows, viewer, text), asks=True)
    return {**SHIPMENTS, "q": asked}


NAMED: Final = Parameter(
    texts.up_to(120), "Stands in the name.", narrow=lambda rows, text: rows.filter(name__icontains=text)
)
DRIVERS: Final[Mapping[str, Parameter]] = {
    "q": NAMED,
    "status": Parameter(
        texts.one_of(Driver.Status.values),
        "In this state.",
        parameters.words(tuple(Driver.Status.values)),
        lambda rows, status: rows.filter(status=status),
    ),
}
EVENTS: Final[Mapping[str, Parameter]] = {
    "shipment": Parameter(
        texts.up_to(64),
        "Of the shipment with this reference.",
        narrow=lambda rows, text: rows.alias(key=Upper("shipment__reference")).filter(key=text.upper()),
    ),
    "type": Parameter(
        texts.one_of(EventType.values),
        "Of this type.",
        parameters.words(tuple(EventType.values)),
        lambda rows, word: rows.filter(type=word),
    ),
    "from": Parameter(
        texts.instant, "Recorded at this time or later.", INSTANT, lambda rows, at: rows.filter(recorded_at__gte=at)
    ),
    "to": Parameter(
        texts.instant, "Recorded before this time.", INSTANT, lambda rows, at: rows.filter(recorded_at__lt=at)
    ),
}
DELIVERIES: Final[Mapping[str, Parameter]] = {
    "driverId": SHIPMENTS["driverId"],
    "customerId": SHIPMENTS["customerId"],
    "from": Parameter(
        texts.instant,
        "Delivered at this time or later.",
        INSTANT,
        lambda rows, at: rows.filter(delivered_at__gte=at),
    ),
    "to": Parameter(
        texts.instant, "Delivered before this time.", INSTANT, lambda rows, at: rows.filter(delivered_at__lt=at)
    ),
}
AUDIT: Final[Mapping[str, Parameter]] = {
    "action": Parameter(
        texts.up_to(24),
        "What was done: login, update, export …",
        narrow=lambda rows, text: rows.filter(action=text),
    ),
    "actor": Parameter(
        texts.identifier, "Done by this user.", IDENTIFIER, lambda rows, key: rows.filter(actor_id=key)
    ),
    "entity": Parameter(
        texts.up_to(24), "Done to this kind of thing.", narrow=lambda rows, text: rows.filter(entity=text)
    ),
    "entityId": Parameter(
        texts.up_to(64), "Done to this thing.", narrow=lambda rows, text: rows.filter(entity_id=text)
    ),
    "from": Parameter(texts.instant, "At this time or later.", INSTANT, lambda rows, at: rows.filter(at__gte=at)),
    "to": Parameter(texts.instant, "Before this time.", INSTANT, lambda rows, at: rows.filter(at__lt=at)),
}
