"""The filters of lists and reports: shipments, drivers, customers, events, deliveries, the audit log."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from django.db.models import F, Value
from django.db.models.functions import Upper
from django.db.models.lookups import Contains

from shipments.domain import lifecycle, other_references
from shipments.models import Driver, EventType
from shipments.parsing import query_parameters, values
from shipments.parsing.query_parameters import DATE_TIME_SCHEMA, UUID_SCHEMA, Parameter
from shipments.querysets import NameKey, Viewer
from shipments.selectors.lists import reference_lookup, search


def _reference_parameter(viewer: Viewer, name: str) -> Parameter | None:
    """Return the filter by the reference of this name, None where none can be called so."""
    return _reference_filter(viewer, name) if other_references.is_valid_name(name) else None


def _reference_filter(viewer: Viewer, name: str) -> Parameter:
    return Parameter(
        values.normalized_text(other_references.MAX_LENGTH),
        "The shipment's reference `po` is this text, exactly, or has it among its several values. Every name of a"
        " reference can stand behind the dot: `reference.bol`, `reference.container` …",
        apply_filter=lambda rows, text: reference_lookup.filter_by_reference(rows, viewer, name, text),
        runs_queries=True,
        sibling=partial(_reference_parameter, viewer),
    )


_NO_VIEWER: Any = None
SHIPMENT_FILTERS: Final[Mapping[str, Parameter]] = {
    "status": Parameter(
        values.choice_list(lifecycle.STATES),
        f"One or several of {', '.join(lifecycle.STATES)}, separated by commas.",
        apply_filter=lambda rows, states: (
            rows.filter(status=states[0]) if len(states) == 1 else rows.filter(status__in=states)
        ),
    ),
    "driverId": Parameter(
        values.identifier, "Assigned to this driver.", UUID_SCHEMA, lambda rows, key: rows.filter(driver_id=key)
    ),
    "customerId": Parameter(
        values.identifier, "Of this customer.", UUID_SCHEMA, lambda rows, key: rows.filter(customer_id=key)
    ),
    "origin": Parameter(
        values.locode, "From this UN/LOCODE.", apply_filter=lambda rows, code: rows.filter(origin__locode=code)
    ),
    "destination": Parameter(
        values.locode, "To this UN/LOCODE.", apply_filter=lambda rows, code: rows.filter(destination__locode=code)
    ),
    "q": Parameter(
        values.text_between(search.MIN_LENGTH, 200),
        "The beginning of a reference, or a part of it, of one of the references, of the customer's name or of the"
        " name of an end of the way, or its UN/LOCODE. Where nothing holds it: what is most like it.",
        apply_filter=lambda rows, text: rows,  # bound to a viewer by `shipment_filters`
    ),
    "reference.po": _reference_filter(_NO_VIEWER, "po"),  # as "q"
    "createdAfter": Parameter(
        values.query_instant,
        "Created at this time or later.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(created_at__gte=at),
    ),
    "createdBefore": Parameter(
        values.query_instant,
        "Created before this time.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(created_at__lt=at),
    ),
    "updatedSince": Parameter(
        values.query_instant,
        "Changed at this time or later.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(updated_at__gte=at),
    ),
    "flag": Parameter(
        values.choice(lifecycle.FLAGS),
        "With this flag open.",
        query_parameters.enum_schema(lifecycle.FLAGS),
        lambda rows, flag: rows.filter(flags__contains=[{"flag": flag}]),
    ),
}


def shipment_filters(viewer: Viewer) -> Mapping[str, Parameter]:
    """Return the filters of a viewer's shipments: what it may not see must not influence a search."""
    search_parameter = replace(
        SHIPMENT_FILTERS["q"],
        apply_filter=lambda rows, text: search.search_shipments(rows, viewer, text),
        runs_queries=True,
    )
    return {**SHIPMENT_FILTERS, "q": search_parameter, "reference.po": _reference_filter(viewer, "po")}


NAME_FILTER: Final = Parameter(
    values.normalized_text(120),
    "Stands in the name.",
    apply_filter=lambda rows, text: rows.filter(Contains(NameKey(F("name")), NameKey(Value(text)))),
)
DRIVER_FILTERS: Final[Mapping[str, Parameter]] = {
    "q": NAME_FILTER,
    "status": Parameter(
        values.choice(Driver.Status.values),
        "In this state.",
        query_parameters.enum_schema(tuple(Driver.Status.values)),
        lambda rows, status: rows.filter(status=status),
    ),
}
EVENT_FILTERS: Final[Mapping[str, Parameter]] = {
    "shipment": Parameter(
        values.text_up_to(64),
        "Of the shipment with this reference.",
        apply_filter=lambda rows, text: rows.alias(key=Upper("shipment__reference")).filter(key=text.upper()),
    ),
    "type": Parameter(
        values.choice(EventType.values),
        "Of this type.",
        query_parameters.enum_schema(tuple(EventType.values)),
        lambda rows, word: rows.filter(type=word),
    ),
    "from": Parameter(
        values.query_instant,
        "Recorded at this time or later.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(recorded_at__gte=at),
    ),
    "to": Parameter(
        values.query_instant,
        "Recorded before this time.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(recorded_at__lt=at),
    ),
}
DELIVERY_FILTERS: Final[Mapping[str, Parameter]] = {
    "driverId": SHIPMENT_FILTERS["driverId"],
    "customerId": SHIPMENT_FILTERS["customerId"],
    "from": Parameter(
        values.query_instant,
        "Delivered at this time or later.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(delivered_at__gte=at),
    ),
    "to": Parameter(
        values.query_instant,
        "Delivered before this time.",
        DATE_TIME_SCHEMA,
        lambda rows, at: rows.filter(delivered_at__lt=at),
    ),
}
AUDIT_FILTERS: Final[Mapping[str, Parameter]] = {
    "action": Parameter(
        values.text_up_to(24),
        "What was done: login, update, export …",
        apply_filter=lambda rows, text: rows.filter(action=text),
    ),
    "actor": Parameter(
        values.identifier, "Done by this user.", UUID_SCHEMA, lambda rows, key: rows.filter(actor_id=key)
    ),
    "entity": Parameter(
        values.text_up_to(24),
        "Done to this kind of thing.",
        apply_filter=lambda rows, text: rows.filter(entity=text),
    ),
    "entityId": Parameter(
        values.name_or_identifier(64),
        "Done to this thing.",
        apply_filter=lambda rows, text: rows.filter(entity_id=text),
    ),
    "from": Parameter(
        values.query_instant, "At this time or later.", DATE_TIME_SCHEMA, lambda rows, at: rows.filter(at__gte=at)
    ),
    "to": Parameter(
        values.query_instant, "Before this time.", DATE_TIME_SCHEMA, lambda rows, at: rows.filter(at__lt=at)
    ),
}
INSTALLATION_SCOPE: Final = "installation"
# Whose entries the API lists: the view chooses the list, so nothing is left to filter.
AUDIT_LIST_FILTERS: Final[Mapping[str, Parameter]] = {
    **AUDIT_FILTERS,
    "scope": Parameter(
        values.choice(("organization", INSTALLATION_SCOPE)),
        "`organization` (the default): entries of your organisation. `installation`, for staff only: those of the"
        " whole installation, such as changed limits and logins of unknown accounts. Staff sees what only an"
        " installation has (`action=limit_change`) without it.",
        query_parameters.enum_schema(("organization", INSTALLATION_SCOPE)),
        lambda rows, _: rows,
    ),
}
