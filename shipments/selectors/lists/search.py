"""Full-text search of shipments by references, customers and places.

The text is first searched as it is. Only where nothing in the organisation contains it, references that differ by
one edit and similar names count. Each way queries an index of its own first, which also shows whether it matches
few or many rows: few are selected by id, many are soon met on a scan of the list.
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

from shipments.compiled_sql import lists
from shipments.domain import locodes, names
from shipments.models import Customer, Location
from shipments.models.shipment import SearchText
from shipments.querysets import EqualsAny, Like, NameKey, Viewer, VisibilityScope
from shipments.selectors import shipments as selectors

MIN_LENGTH: Final = 2
# pg_trgm indexes runs of three letters and digits, and the ends of shorter words. A pattern without either scans
# the whole index, which is quick for a few thousand names but not for a million shipments.
_TRIGRAM_LENGTH: Final = 3
TRIGRAM_INDEXED: Final = re.compile(r"[A-Za-z0-9]{3}|[A-Za-z0-9]{2}[^A-Za-z0-9]+[A-Za-z0-9]{2}")
_MAX_KEYS: Final = 500
# A leading part, such as SHIP in SHIP-1234, and the number of shipments that show whether it is common.
_LEADING_PART: Final = re.compile(r"[A-Za-z0-9]+(?=[^A-Za-z0-9]+[A-Za-z0-9]{3})")
_SAMPLE_SIZE: Final = 100
_MAX_NAMES: Final = 1000
# Up to this number of keys, IN is quicker than = ANY.
_MAX_IN_LIST: Final = 20
# Shorter texts are similar to everything; longer ones have too many single edits.
_EDIT_LENGTHS: Final = range(5, 33)
_SIMILARITY_LENGTHS: Final = range(4, 121)
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"


BuildQuerySet = Callable[[Viewer, Mapping[str, Any]], Any]


def search_shipments(rows: Any, viewer: Viewer, text: str) -> Any:
    """Return the rows that match the text, in their order; `text` has at least MIN_LENGTH characters.

    `is_fuzzy` of the rows tells that nothing contains the text, and they are like it. Runs three to seven short
    queries.
    """
    text = names.normalize(text)
    containing = _containing_condition(viewer, text)
    condition = containing or _similar_condition(viewer, text)
    if not condition:
        return rows.none()
    matching = rows.alias(searched=SearchText()).filter(condition)
    matching.is_fuzzy = not containing
    return matching


def _containing_condition(viewer: Viewer, text: str) -> Q:
    """Return the condition of rows that contain the text: as a prefix, from three characters on anywhere."""
    prefix_pattern = _prefix_pattern(text)
    name_pattern = f"%{prefix_pattern}" if len(text) >= _TRIGRAM_LENGTH else prefix_pattern
    condition = _foreign_key_condition("customer_id", _customers_by_name, viewer, pattern=name_pattern)
    condition |= _foreign_key_condition(
        ("origin_id", "destination_id"), _places_by_name, viewer, pattern=name_pattern, code=locodes.normalize(text)
    )
    prefix_matches = _fetch_keys(_shipments_by_prefix, viewer, _MAX_KEYS, pattern=prefix_pattern)
    if len(prefix_matches) > _MAX_KEYS:
        return condition | Q(reference__istartswith=text)  # enough rows without substrings
    if TRIGRAM_INDEXED.search(text):
        substring_matches = _fetch_substring_matches(viewer, text)
        if len(substring_matches) > _MAX_KEYS:
            return condition | Q(searched__icontains=text)
        prefix_matches += substring_matches
    return condition | _in_condition("pk", prefix_matches) if prefix_matches else condition


def _fetch_substring_matches(viewer: Viewer, text: str) -> list[uuid.UUID]:
    """Return the ids of shipments that contain the text, at most _MAX_KEYS + 1."""
    selective_part = _selective_part(viewer, text)
    if selective_part is None:
        return _fetch_keys(_shipments_by_substring, viewer, _MAX_KEYS, pattern=f"%{_prefix_pattern(text)}")
    return _fetch_keys(
        _shipments_by_substring_and_text,
        viewer,
        _MAX_KEYS,
        pattern=f"%{_prefix_pattern(selective_part)}",
        text=text,
    )


def _selective_part(viewer: Viewer, text: str) -> str | None:
    """Return the part of the text to query the index for, None for the whole text.

    A leading part that nearly all references share (SHIP-, PO-) costs 25 of 30 ms: the index checks its trigrams
    for every row that contains the rest. The newest shipments show whether the leading part is common.
    """
    leading = _LEADING_PART.match(text)
    if leading is None:
        return None
    sample = lists.fetch_rows(("newest", VisibilityScope.of(viewer)), {}, partial(_newest_shipments, viewer))
    head, rest, texts = leading.group().upper(), text[leading.end() :], [row["key"] for row in sample]
    is_common = sum(head in each for each in texts) * 2 > len(texts)
    is_rare = sum(rest.upper() in each for each in texts) <= 1
    return rest if is_common and is_rare else None


def _similar_condition(viewer: Viewer, text: str) -> Q:
    """Return the condition of rows similar to the text: names by trigrams, references by a single edit."""
    upper_text, condition = names.comparison_key(text).upper(), Q()
    if len(text) in _SIMILARITY_LENGTHS:
        condition |= _foreign_key_condition("customer_id", _customers_by_similarity, viewer, text=upper_text)
        condition |= _foreign_key_condition(
            ("origin_id", "destination_id"), _places_by_similarity, viewer, text=upper_text
        )
    if len(text) in _EDIT_LENGTHS and set(upper_text) <= set(_ALPHABET):
        candidates = selectors.visible_shipments(viewer).with_references(sorted(set(_single_edits(upper_text))))
        keys = list(candidates.values_list("pk", flat=True)[: _MAX_KEYS + 1])
        condition |= _in_condition("pk", keys) if keys else Q()
    return condition


def _foreign_key_condition(
    columns: str | tuple[str, ...], build_queryset: BuildQuerySet, viewer: Viewer, **values: str
) -> Q:
    """Return the condition of shipments that refer to one of the rows of a queryset in one of the columns."""
    keys: Any = _fetch_keys(build_queryset, viewer, _MAX_NAMES, **values)
    if len(keys) > _MAX_NAMES:
        keys = build_queryset(viewer, values).values("pk")
    elif not keys:
        return Q()
    return reduce(
        or_, (_in_condition(column, keys) for column in ([columns] if isinstance(columns, str) else columns))
    )


def _in_condition(column: str, keys: Any) -> Q:
    is_long = isinstance(keys, list) and len(keys) > _MAX_IN_LIST
    return Q(EqualsAny(F(column), Value(keys))) if is_long else Q(**{f"{column}__in": keys})


def _fetch_keys(build_queryset: BuildQuerySet, viewer: Viewer, limit: int, **values: str) -> list[uuid.UUID]:
    """Return the primary keys of a queryset, at most `limit` + 1."""

    def build_keys(given: Mapping[str, Any]) -> Any:
        return build_queryset(viewer, given).values("pk")[: limit + 1]

    return [row["pk"] for row in lists.fetch_rows((build_queryset, VisibilityScope.of(viewer)), values, build_keys)]


def _visible_customers(viewer: Viewer) -> Any:
    customers = Customer.objects.of_organization(viewer.organization_id)
    # Names of other customers must not influence how the search goes on.
    return customers.filter(pk=viewer.customer_id) if viewer.role == "customer" else customers


def _visible_places(viewer: Viewer) -> Any:
    return Location.objects.filter(Q(organization=None) | Q(organization_id=viewer.organization_id))


def _prefix_pattern(text: str) -> str:
    return f"{connection.ops.prep_for_like_query(text)}%"


def _like(text: Any, pattern: str) -> Like:
    return Like(Upper(text), Upper(Value(pattern)))


def _like_name(pattern: str) -> Like:
    return Like(NameKey("name"), NameKey(Value(pattern)))


def _customers_by_name(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _visible_customers(viewer).filter(_like_name(values["pattern"]))


def _places_by_name(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _visible_places(viewer).filter(Q(_like_name(values["pattern"])) | Q(locode=values["code"]))


def _customers_by_similarity(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _visible_customers(viewer).alias(key=NameKey("name")).filter(key__trigram_word_similar=values["text"])


def _places_by_similarity(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return _visible_places(viewer).alias(key=NameKey("name")).filter(key__trigram_word_similar=values["text"])


def _shipments_by_prefix(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return selectors.visible_shipments(viewer).filter(_like("reference", values["pattern"]))


def _shipments_by_substring(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    return selectors.visible_shipments(viewer).filter(_like(SearchText(), values["pattern"]))


def _shipments_by_substring_and_text(viewer: Viewer, values: Mapping[str, Any]) -> Any:
    at = StrIndex(Upper(SearchText()), Upper(Value(values["text"])))
    return _shipments_by_substring(viewer, values).alias(at=at).filter(at__gt=0)


def _newest_shipments(viewer: Viewer, _: Mapping[str, Any]) -> Any:
    return (
        selectors.visible_shipments(viewer)
        .order_by("-created_at", "-pk")
        .values(key=Upper(SearchText()))[:_SAMPLE_SIZE]
    )


def _single_edits(text: str) -> Iterator[str]:
    """Yield the texts one edit away: an insertion, deletion, substitution or transposition."""
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        yield from (head + letter + tail for letter in _ALPHABET)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _ALPHABET)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
