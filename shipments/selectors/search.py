"""The search box: what somebody types, found in references, customers and places.

What is typed counts as it stands. Only where nothing in the organisation holds it, one slip of the keyboard in a
reference is forgiven, and likeness of a name. Each way is asked of an index of its own first, which also tells
whether it finds few or many: few are fetched by id, many are met soon on the way through the list.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import Q
from django.db.models.functions import Upper

from shipments.models import Customer, Location
from shipments.models.shipment import Searched
from shipments.querysets import ShipmentQuerySet, Viewer
from shipments.selectors import shipments as selectors

SHORTEST: Final = 2
# pg_trgm's index knows runs of three letters and digits, and the ends of shorter ones; asked for anything else it
# is read from end to end, which a few thousand names bear and a million shipments do not.
_TRIGRAM: Final = 3
_INDEXED: Final = re.compile(r"[A-Za-z0-9]{3}|[A-Za-z0-9]{2}[^A-Za-z0-9]+[A-Za-z0-9]{2}")
_FEW: Final = 500
_MOST_NAMES: Final = 1000
# Shorter texts are like everything, longer ones have too many neighbours to ask for.
_SLIPPABLE: Final = range(5, 33)
_LIKENABLE: Final = range(4, 121)
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"


def matching(rows: Any, viewer: Viewer, text: str) -> Any:
    """This will keep the rows that the text finds, in the order that they have; `text` has two characters or more.

    Three to six short queries, whatever stands in the text.
    """
    found = _holding(viewer, text) or _alike(viewer, text)
    return rows.alias(searched=Searched()).filter(found) if found else rows.none()


def _holding(viewer: Viewer, text: str) -> Q:
    """This will return what holds the text: the beginning of a name, or from three characters on any part of it."""
    named = Q(name__icontains=text) if len(text) >= _TRIGRAM else Q(name__istartswith=text)
    found = _of_parties(_customers(viewer).filter(named), _places(viewer).filter(named | Q(locode=text.upper())))
    begins = Q(reference__istartswith=text)
    shipments = selectors.visible(viewer)
    first = _ids(shipments.filter(begins))
    if len(first) > _FEW:
        return found | begins  # so many: no need to look into the midst of the others
    if _INDEXED.search(text):
        holds = Q(searched__icontains=text)
        anywhere = _ids(shipments.alias(searched=Searched()).filter(holds))
        if len(anywhere) > _FEW:
            return found | holds
        first += anywhere
    return found | Q(pk__in=first) if first else found


def _alike(viewer: Viewer, text: str) -> Q:
    """This will return what is like the text: names by their trigrams, references that differ by one slip."""
    found = Q()
    if len(text) in _LIKENABLE:
        like = Q(key__trigram_word_similar=text.upper())
        found = _of_parties(
            _customers(viewer).alias(key=Upper("name")).filter(like),
            _places(viewer).alias(key=Upper("name")).filter(like),
        )
    if len(text) in _SLIPPABLE and set(text.upper()) <= set(_ALPHABET):
        near = _ids(selectors.visible(viewer).named_any(sorted(set(_slips(text.upper())))))
        found = found | Q(pk__in=near) if near else found
    return found


def _of_parties(customers: Any, places: Any) -> Q:
    found = Q()
    owners, ends = _keys(customers), _keys(places)
    if owners is not None:
        found |= Q(customer_id__in=owners)
    if ends is not None:
        found |= Q(origin_id__in=ends) | Q(destination_id__in=ends)
    return found


def _keys(named: Any) -> Any:
    """This will return the ids, or where they are a great many the question for them; None for none."""
    keys = named.values_list("pk", flat=True)
    found = list(keys[: _MOST_NAMES + 1])
    return (found or None) if len(found) <= _MOST_NAMES else keys


def _customers(viewer: Viewer) -> Any:
    customers = Customer.objects.of(viewer.organization_id)
    # What others are called must not even decide how the search goes on.
    return customers.filter(pk=viewer.customer_id) if viewer.role == "customer" else customers


def _places(viewer: Viewer) -> Any:
    return Location.objects.filter(Q(organization=None) | Q(organization_id=viewer.organization_id))


def _ids(shipments: ShipmentQuerySet) -> list[uuid.UUID]:
    return list(shipments.values_list("pk", flat=True)[: _FEW + 1])


def _slips(text: str) -> Iterator[str]:
    """This will yield what is one slip away: a character lost, doubled, mistaken, or two exchanged."""
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        yield from (head + letter + tail for letter in _ALPHABET)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _ALPHABET)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
