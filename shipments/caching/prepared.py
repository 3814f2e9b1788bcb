"""Prepared shipments: the JSON of a shipment, serialised once for each committed state. `pages` are made of it too.

Every read first queries the committed state (a few columns, with visibility in the same query) and uses a cached
body only if it was made from exactly that state. The driver's position is not part of the cached body: it changes
far more often than all else, so it is read each time and inserted.
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
from shipments.domain.versions import Version
from shipments.models import Shipment
from shipments.querysets import Viewer
from shipments.selectors import positions
from shipments.selectors import shipments as selectors

VARIANTS: Final = ("staff", "restricted")
# What decides the position, which is no part of the cached JSON.
_POSITION_COLUMNS: Final = (
    "status", "underway_since",
    *(f"{representation.POSITION_PREFIX}{column}" for column in positions.POSITION_FIELDS),
)  # fmt: skip
# With id and updated_at: a restored database may use a `seq` again for another change.
_STAMPED_COLUMNS: Final = (
    "id", "reference", "seq", "updated_at", "driver_id", "driver__name", "driver__phone", "customer_id",
    "customer__name",
)  # fmt: skip
# Everything that decides the JSON of a shipment, for `get_local`.
STATE_COLUMNS: Final = (*_STAMPED_COLUMNS, *_POSITION_COLUMNS)
shipment_cache = CacheService("shipment", ttl=settings.CACHE_TTL_SECONDS)


@dataclass(frozen=True, slots=True)
class PreparedShipment:
    """ETag and JSON of a shipment in one visibility variant; no JSON where the client has this ETag."""

    etag: str
    body: bytes | None


def get_shipment(
    viewer: Viewer, variant: str, reference: str, *, client_has: Callable[[str], bool] = lambda _: False
) -> PreparedShipment | None:
    """Return one shipment, None where it is missing or not visible to the viewer.

    `client_has` tells whether the client has the version of an ETag. One small query, and one more on a miss.
    """
    # A transaction may see what is never committed: its reads are not for others.
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
    """Return a shipment whose STATE_COLUMNS were read just now, None where its JSON is not in this process.

    No I/O.
    """
    etag = _etag(row, variant)
    if client_has(etag):
        return PreparedShipment(etag, None)
    cached = shipment_cache.get_local(_key(viewer.organization_id, row["reference"], variant), _stamp(row))
    return None if cached is None else PreparedShipment(etag, _with_position_of(row, variant, cached))


def get_or_make(
    viewer: Viewer, variant: str, row: representation.Row, *, client_has: Callable[[str], bool] = lambda _: False
) -> PreparedShipment | None:
    """Return what `get_local` could not: from Redis, else by one more query."""
    try:
        cached = _cached_body(viewer.organization_id, row, variant)
    except _ConcurrentUpdate:
        return _read_uncached(viewer, variant, row["reference"], client_has=client_has)
    return PreparedShipment(_etag(row, variant), _with_position_of(row, variant, cached))


def warm_up(rows: Iterable[representation.Row]) -> bool:
    """Cache shipments (`SHIPMENT_COLUMNS` and organization_id) in every variant; tell whether Redis stored them.

    A shipment that has changed since it was read is stored under an old stamp, which no read asks for.
    """
    return shipment_cache.set_many_stamped(
        (_key(row["organization_id"], row["reference"], variant), _stamp(row), without_position(row, variant))
        for row in rows
        for variant in VARIANTS
    )


# -- one shipment -----------------------------------------------------------------------------------------


class _ConcurrentUpdate(Exception):
    """The shipment was changed between the two queries."""


def _read_uncached(
    viewer: Viewer, variant: str, reference: str, *, client_has: Callable[[str], bool]
) -> PreparedShipment | None:
    """Return a shipment without the cache."""
    row = selectors.get_shipment(viewer, reference)
    if row is None:
        return None
    etag = _etag(row, variant)
    body = None if client_has(etag) else _with_position_of(row, variant, without_position(row, variant))
    return PreparedShipment(etag, body)


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
    """Return a digest of everything that decides the JSON, except the position."""
    return digest(*(row[column] for column in _STAMPED_COLUMNS))


def _etag(row: representation.Row, variant: str) -> str:
    """Return `"<seq>.<hash>"`; the hash is the mark of the version and covers names, position and variant.

    The position counts as it is shown: the ETag of a customer does not tell that a driver moves.
    """
    etag_digest = digest(variant, _stamp(row), representation.shipment_position(row, variant))
    version = Version.of(row["id"], row["seq"], row["updated_at"])
    return f'"{version.tag}{etag_digest[:6].hex()}"'


# -- JSON -------------------------------------------------------------------------------------------------


def without_position(row: representation.Row, variant: str) -> bytes:
    """Return the JSON of a shipment without its position, on one line."""
    body = representation.shipment(row, variant)
    del body["position"]
    return orjson.dumps(body)


def with_position(body: bytes, position: representation.Json | None) -> bytes:
    """Return the JSON of a shipment with its position appended."""
    return body[:-1] + b',"position":' + orjson.dumps(position) + b"}"


def _with_position_of(row: representation.Row, variant: str, body: bytes) -> bytes:
    return with_position(body, representation.shipment_position(row, variant))


def digest(*parts: object) -> bytes:
    """Return a digest (16 bytes) of these parts and of the code version."""
    text = repr((_code_version(), [_canonical(part) for part in parts]))
    return hashlib.blake2b(text.encode(), digest_size=STAMP_BYTES).digest()


def _canonical(part: object) -> object:
    """Return a value whose `repr` is the same in every process."""
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
        *sorted(app.glob("domain/*.py")),
        *sorted(app.glob("caching/*.py")),
        *sorted(app.glob("selectors/lists/*.py")),
    ]
    sources = b"".join(file.read_bytes() for file in files)
    return salted_hmac("shipments.caching.prepared", sources + settings.VERSION.encode()).hexdigest()[:16]
