"""The search box: what somebody types, found in references, customers and places.

What is typed counts as it stands. Only where nothing in the organisation holds it, one slip of the keyboard in a
reference is forgiven, and likeness of a name. Each way is asked of an index of its own first, which also tells
whether it finds few or many: few are fetched by id, many are met soon on the way through the list.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial, reduce
from operator import or_
from typing import Any, Final

from django.db import connection
from django.db.models import F, Q, Value
from django.db.models.functions import StrIndex, Upper

from shipments.models import Customer, Location
from shipments.models.shipment import Searched
from shipments.querysets import AnyOf, Like, Sight, Viewer
from shipments.selectors import compiled
from shipments.selectors import shipments as selectors

SHORTEST: Final = 2
# pg_trgm's index knows runs of three letters and digits, and the ends of shorter ones; asked for anything else it
# is read from end to end, which a few thousand names bear and a million shipments do not.
_TRIGRAM: Final = 3
_INDEXED: Final = re.compile(r"[A-Za-z0-9]{3}|[A-Za-z0-9]{2}[^A-Za-z0-9]+[A-Za-z0-9]{2}")
_FEW: Final = 500
# Letters or digits before others, and how many shipments tell whether most have them.
_HEADED: Final = re.compile(r"[A-Za-z0-9]+(?=[^A-Za-z0-9]+[A-Za-z0-9]{3})")
_NEWEST: Final = 100
_MOST_NAMES: Final = 1000
# So few are quicker asked for one by one.
_SHORT: Final = 20
# Shorter texts are like everything, longer ones have too many neighbours to ask for.
_SLIPPABLE: Final = range(5, 33)
_LIKENABLE: Final = range(4, 121)
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"


Question = Callable[[Viewer, Mapping[str, Any]], Any]


def matching(rows: Any, viewer: Viewer, text: str) -> Any:
    """This will keep the rows that the text finds, in the order that they have; `text` has two characters or more.

    Three to seven short queries, whatever stands in the text.
    """
    found = _holding(viewer, text) or _alike(viewer, text)
    return rows.alias(searched=Searched()).filter(found) if found else rows.none()


def _holding(viewer: Viewer, text: str) -> Q:
    """This will return what holds the text: the beginning of a name, or from three characters on any part of it."""
    begins = _pattern(text)
    called = f"%{begins}" if len(text) >= _TRIGRAM else begins
    found = _of("customer_id", _customers_called, viewer, pattern=called)
    found |= _of(("origin_id", "destination_id"), _places_called, viewer, pattern=called, code=text.upper())
    first = _keys(_beginning, viewer, _FEW, pattern=begins)
    if len(first) > _FEW:
        return found | Q(reference__istartswith=text)  # no need to look into the midst of the others
    if _INDEXED.search(text):
        anywhere = _anywhere(viewer, text)
        if len(anywhere) > _FEW:
            return found | Q(searched__icontains=text)
        first += anywhere
    return found | _one_of("pk", first) if first else found


def _anywhere(viewer: Viewer, text: str) -> list[uuid.UUID]:
    """This will return shipments that hold the text, at most one more than a few."""
    rest = _telling(viewer, text)
    if rest is None:
        return _keys(_holding_it, viewer, _FEW, pattern=f"%{_pattern(text)}")
    return _keys(_holding_both, viewer, _FEW, pattern=f"%{_pattern(rest)}", text=text)


def _telling(viewer: Viewer, text: str) -> str | None:
    """This will return what to ask the index for, where that is less than the text.

    For each row that holds the rest of a number, the index looks up every three letters of what nearly all numbers
    begin with (SHIP-, PO-): of 30 ms, 25. The newest shipments tell what that is.
    """
    headed = _HEADED.match(text)
    if headed is None:
        return None
    newest = compiled.rows(("newest", Sight.of(viewer)), {}, partial(_newest, viewer))
    head, rest, texts = headed.group().upper(), text[headed.end() :], [row["key"] for row in newest]
    is_common = sum(head in each for each in texts) * 2 > len(texts)
    is_rare = sum(rest.upper() in each for each in texts) <= 1
    return rest if is_common and is_rare else None


def _alike(viewer: Viewer, text: str) -> Q:
    """This will return what is like the text: names by their trigrams, references that differ by one slip."""
    typed, found = text.upper(), Q()
    if len(text) in _LIKENABLE:
        found |= _of("customer_id", _customers_like, viewer, text=typed)
        found |= _of(("origin_id", "destination_id"), _places_like, viewer, text=typed)
    if len(text) in _SLIPPABLE and set(typed) <= set(_ALPHABET):
        near = selectors.visible(viewer).named_any(sorted(set(_slips(typed))))
        keys = list(near.values_list("pk", flat=True)[: _FEW + 1])
        found |= _one_of("pk", keys) if keys else Q()
    return found


def _of(columns: str | tuple[str, ...], question: Question, viewer: Viewer, **values: str) -> Q:
    """This will return the shipments in one of whose columns stands a key of the answer."""
    keys: Any = _keys(question, viewer, _MOST_NAMES, **values)
    if len(keys) > _MOST_NAMES:
        keys = question(viewer, values).values("pk")
    elif not keys:
        return Q()
    return reduce(or_, (_one_of(column, keys) for column in ([columns] if isinstance(columns, str) else columns)))


def _one_of(column: str, keys: Any) -> Q:
    many = isinstance(keys, list) and len(keys) > _SHORT
    return Q(AnyOf(F(column), Value(keys))) if many else Q(**{f"{column}__in": keys})


def _keys(question: Question, viewer: Viewer, most: int, **values: str) -> list[uuid.UUID]:
    """This will return the keys of the answer, at most one more than `most`."""

    def build(given: Mapping[str, Any]) -> Any:
        return question(viewer, given).values("pk")[: most + 1]

    return [row["pk"] for row in compiled.rows((question, Sight.of(viewer)), values, build)]


def _customers(viewer: Viewer) -> Any:
    customers = Customer.objects.of(viewer.organization_id)
    # What others are called must not even decide how the search goes on.
    return customers.filter(pk=viewer.customer_id) if viewer.role == "customer" else customers


def _places(viewer: Viewer) -> Any:
    return Location.objects.filter(Q(organization=None) | Q(organization_id=viewer.organization_id))


def _pattern(text: str) -> str:
    return f"{connection.ops.prep_for_like_query(text)}%"


def _is(text: Any, pattern: str) -> Like:
    return Like(Upper(text), Upper(Value(pattern)))


def _customers_called(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _customers(viewer).filter(_is("name", values["pattern"]))


def _places_called(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _places(viewer).filter(Q(_is("name", values["pattern"])) | Q(locode=values["code"]))


def _customers_like(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _customers(viewer).alias(key=Upper("name")).filter(key__trigram_word_similar=values["text"])


def _places_like(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _places(viewer).alias(key=Upper("name")).filter(key__trigram_word_similar=values["text"])


def _beginning(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return selectors.visible(viewer).filter(_is("reference", values["pattern"]))


def _holding_it(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return selectors.visible(viewer).filter(_is(Searched(), values["pattern"]))


def _holding_both(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    at = StrIndex(Upper(Searched()), Upper(Value(values["text"])))
    return _holding_it(viewer, values).alias(at=at).filter(at__gt=0)


def _newest(viewer: Viewer, _: Mapping[str, Any]) -> Any:
    return selectors.visible(viewer).order_by("-created_at", "-pk").values(key=Upper(Searched()))[:_NEWEST]


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
