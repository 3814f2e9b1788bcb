"""A shipment as bytes, serialised once for each committed state; pages are made of the same: see `pages`.

Every read first asks PostgreSQL what is committed now (one small query, in which visibility stands too) and
takes from the cache only what was made from exactly that. A driver's position is no part of what is kept: it
changes far more often than all else, so it is read each time and put in.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import orjson
from django.conf import settings
from django.db import connection
from django.utils.crypto import salted_hmac

from shipments import representation
from shipments.caching.service import STAMP_BYTES, CacheService
from shipments.compiled_sql import one_shipment
from shipments.models import Shipment
from shipments.querysets import Viewer
from shipments.selectors import positions
from shipments.selectors import shipments as selectors

VARIANTS: Final = ("staff", "restricted")
POSITION_PREFIX: Final = "driver__last_position__"
_POSITION_COLUMNS: Final = tuple(f"{POSITION_PREFIX}{column}" for column in positions.POSITION_FIELDS)
# With id and time of change: a restored database may give a number again, to something else.
_STAMPED_COLUMNS: Final = (
    "id", "reference", "seq", "updated_at", "driver_id", "driver__name", "driver__phone", "customer_id",
    "customer__name",
)  # fmt: skip
# All that decides what is shown of a shipment: see `at_hand`.
STATE_COLUMNS: Final = (*_STAMPED_COLUMNS, *_POSITION_COLUMNS)
shipment_cache = CacheService("shipment", ttl=settings.CACHE_TTL_SECONDS)


@dataclass(frozen=True, slots=True)
class PreparedShipment:
    """A shipment as one visibility variant sees it: ETag and JSON; no JSON for a caller who has it already."""

    etag: str
    body: bytes | None


def get_shipment(
    viewer: Viewer, variant: str, reference: str, *, client_has: Callable[[str], bool] = lambda _: False
) -> PreparedShipment | None:
    """Return one shipment, None where it is missing or not for the viewer.

    `has` tells whether the caller has the version of an ETag. One small query, and one more where nobody has
    asked for this state before.
    """
    # What a transaction sees may never be committed: it is not for others.
    if connection.in_atomic_block:
        return _read_uncached(viewer, variant, reference, client_has=client_has)
    row = one_shipment.fetch_row(viewer, reference, STATE_COLUMNS)
    if row is None:
        return None
    return get_local(viewer, variant, row, client_has=client_has) or get_or_make(
        viewer, variant, row, client_has=client_has
    )


def get_local(
    viewer: Viewer, variant: str, row: representation.Row, *, client_has: Callable[[str], bool] = lambda _: False
) -> PreparedShipment | None:
    """Return a shipment whose columns `SEEN` were read just now, None where its JSON is not at hand.

    Nothing is waited for.
    """
    etag = _etag(row, variant)
    if client_has(etag):
        return PreparedShipment(etag, None)
    cached = shipment_cache.get_local(_key(viewer.organization_id, row["reference"], variant), _stamp(row))
    return (
        None
        if cached is None
        else PreparedShipment(etag, with_position(cached, representation.position(row, POSITION_PREFIX)))
    )


def get_or_make(
    viewer: Viewer, variant: str, row: representation.Row, *, client_has: Callable[[str], bool] = lambda _: False
) -> PreparedShipment | None:
    """Return the same where it is not at hand: of Redis, else of one more query."""
    try:
        cached = _cached_body(viewer.organization_id, row, variant)
    except _ConcurrentUpdate:
        return _read_uncached(viewer, variant, row["reference"], client_has=client_has)
    return PreparedShipment(
        _etag(row, variant), with_position(cached, representation.position(row, POSITION_PREFIX))
    )


def warm_up(rows: Iterable[representation.Row]) -> bool:
    """Keep these shipments (`SHIPMENT_COLUMNS` and organization_id) for every variant.

    It says whether Redis took them. What is overtaken meanwhile is kept and never shown.
    """
    return shipment_cache.set_many_stamped(
        (_key(row["organization_id"], row["reference"], variant), _stamp(row), without_position(row, variant))
        for row in rows
        for variant in VARIANTS
    )


# -- one shipment -----------------------------------------------------------------------------------------


class _ConcurrentUpdate(Exception):
    """The shipment was changed between two queries."""


def _read_uncached(
    viewer: Viewer, variant: str, reference: str, *, client_has: Callable[[str], bool]
) -> PreparedShipment | None:
    """Return a shipment past the cache."""
    row = selectors.get_shipment(viewer, reference)
    if row is None:
        return None
    etag = _etag(row, variant)
    return PreparedShipment(
        etag,
        None
        if client_has(etag)
        else with_position(without_position(row, variant), representation.position(row, POSITION_PREFIX)),
    )


def _cached_body(organization_id: uuid.UUID, row: representation.Row, variant: str) -> bytes:
    stamp = _stamp(row)

    def make() -> bytes:
        queryset = Shipment.objects.filter(pk=row["id"])
        current_row = queryset.values(*representation.SHIPMENT_COLUMNS).get()
        if _stamp(current_row) != stamp:
            raise _ConcurrentUpdate
        return without_position(current_row, variant)

    return shipment_cache.get_or_set_stamped(_key(organization_id, row["reference"], variant), stamp, make)


def _key(organization_id: uuid.UUID, reference: str, variant: str) -> str:
    return f"shipment:{organization_id}:{reference}:{variant}"


def _stamp(row: representation.Row) -> bytes:
    """Return the digest of all that decides what is shown, but for the position."""
    return digest(*(row[column] for column in _STAMPED_COLUMNS))


def _etag(row: representation.Row, variant: str) -> str:
    """Return `"<seq>.<hash>"`: the hash covers what the number does not determine."""
    etag_digest = digest(variant, _stamp(row), *(row[column] for column in _POSITION_COLUMNS))
    return f'"{row["seq"]}.{etag_digest[:6].hex()}"'


# -- JSON -------------------------------------------------------------------------------------------------


def without_position(row: representation.Row, variant: str) -> bytes:
    """Write a shipment, without its position, as JSON on one line."""
    body = representation.shipment(row, variant)
    del body["position"]
    return orjson.dumps(body)


def with_position(body: bytes, position: representation.Json | None) -> bytes:
    """Put the position into the JSON of a shipment."""
    return body[:-1] + b',"position":' + orjson.dumps(position) + b"}"


def digest(*parts: object) -> bytes:
    """Return 16 bytes that stand for these parts, and for the code that prepares."""
    text = repr((_code_version(), [_canonical(part) for part in parts]))
    return hashlib.blake2b(text.encode(), digest_size=STAMP_BYTES).digest()


def _canonical(part: object) -> object:
    """Return what prints the same in every process."""
    if isinstance(part, datetime):
        return part.astimezone(UTC).isoformat()
    return str(part) if isinstance(part, uuid.UUID) else part


@lru_cache(maxsize=1)
def _code_version() -> str:
    """Return a digest of the code that makes cached JSON and of SECRET_KEY, which signs the cursors in pages.

    Processes of another release or key share the Redis for a while: their entries must not match.
    """
    app = Path(representation.__file__).parent
    files = [
        app / "representation.py",
        *sorted(app.glob("caching/*.py")),
        *sorted(app.glob("selectors/lists/*.py")),
    ]
    sources = b"".join(file.read_bytes() for file in files)
    return salted_hmac("shipments.caching.prepared", sources + settings.VERSION.encode()).hexdigest()[:16]
