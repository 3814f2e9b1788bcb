"""Reads as bytes: a shipment or a page of them, serialised once for each committed state.

Every read first asks PostgreSQL what is committed now (one small query, in which visibility stands too) and
takes from the cache only what was made from exactly that. A driver's position is no part of what is kept: it
changes far more often than all else, so it is read each time and put in.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import orjson
from django.conf import settings
from django.db import connection
from django.utils.crypto import salted_hmac

from shipments import lookup, representation
from shipments.cache import STAMP_BYTES, CacheService
from shipments.models import Shipment
from shipments.querysets import Viewer
from shipments.selectors import shipments as selectors
from shipments.selectors import versions

VARIANTS: Final = ("staff", "restricted")
Positions = dict[str, representation.Json | None]
_AT: Final = "driver__last_position__"
_WHERE: Final = ("latitude", "longitude", "recorded_at")
_POSITION: Final = tuple(f"{_AT}{column}" for column in _WHERE)
# With id and time of change: a restored database may give a number again, to something else.
_STATE: Final = (
    "id", "reference", "seq", "updated_at", "driver_id", "driver__name", "driver__phone", "customer_id",
    "customer__name",
)  # fmt: skip
_WHERE_ARE: Final = (
    "SELECT driver_id, latitude, longitude, recorded_at FROM shipments_driverposition WHERE driver_id = ANY(%s)"
)

shipments = CacheService("shipment", ttl=settings.CACHE_TTL_SECONDS)
# Every commit in an organisation makes its pages new ones: no use in keeping them long.
pages = CacheService("list", ttl=min(60, settings.CACHE_TTL_SECONDS))


@dataclass(frozen=True, slots=True)
class Shown:
    """A shipment as one visibility variant sees it: ETag and JSON; no JSON for a caller who has it already."""

    etag: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a page (`SHIPMENT_COLUMNS`) and the addresses of the pages around it."""

    rows: Sequence[representation.Row]
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page as JSON, and the addresses of the pages around it."""

    body: bytes
    next: str | None
    previous: str | None

    @property
    def etag(self) -> str:
        """The version of the page: the hash of what is shown."""
        return f'"{hashlib.blake2b(self.body, digest_size=8).hexdigest()}"'


def shipment(
    viewer: Viewer, variant: str, reference: str, *, has: Callable[[str], bool] = lambda _: False
) -> Shown | None:
    """This will return one shipment, None where it is missing or not for the viewer.

    `has` tells whether the caller has the version of an ETag. One small query, and one more where nobody has
    asked for this state before.
    """
    # What a transaction sees may never be committed: it is not for others.
    if connection.in_atomic_block:
        return _read(viewer, variant, reference, has=has)
    row = lookup.row(viewer, reference, (*_STATE, *_POSITION))
    if row is None:
        return None
    etag = _etag(row, variant)
    if has(etag):
        return Shown(etag, None)
    try:
        bare = _kept(viewer.organization_id, row, variant)
    except _Overtaken:
        return _read(viewer, variant, reference, has=has)
    return Shown(etag, _placed(bare, representation.position(row, _AT)))


def listing(viewer: Viewer, variant: str, asked: str, read: Callable[[], Found]) -> Listing:
    """This will return the page that `asked` (path and query, as written) stands for; `read` finds its rows."""
    version = None if connection.in_atomic_block else versions.now(viewer.organization_id)
    if version is None:
        found = read()
        return _laid_out(_written(found, variant, {}), _within(found))
    # The role stands for itself: what may be searched, too, may depend on it.
    sees = (viewer.role, viewer.customer_id, viewer.driver_id, viewer.shipment_id, variant)
    key = f"list:{viewer.organization_id}:{_digest(sees, asked).hex()}"
    where_are: Callable[[set[str]], Positions] = _positions
    kind = versions.kind(viewer, asked)

    def make() -> bytes:
        nonlocal where_are
        found = read()
        where_are = _within(found)
        return _written(found, variant, versions.base(found.rows, version) if kind else {})

    def still(written: bytes) -> bool:
        about = orjson.loads(written.partition(b"\n")[0])
        young = time.time() - about["at"] < pages.ttl
        return kind is not None and young and versions.stands(kind, about, version)

    # What was committed after the version was read does no harm in it: nobody will read this version again.
    return _laid_out(
        pages.stamped(key, _digest(version.events, version.epoch), make, still=still if kind else None), where_are
    )


def warm(rows: Iterable[representation.Row]) -> bool:
    """This will keep these shipments (`SHIPMENT_COLUMNS` and organization_id) for every variant.

    It says whether Redis took them. What is overtaken meanwhile is kept and never shown.
    """
    return shipments.put_many(
        (_key(row["organization_id"], row["reference"], variant), _stamp(row), _bare(row, variant))
        for row in rows
        for variant in VARIANTS
    )


# -- one shipment -----------------------------------------------------------------------------------------


class _Overtaken(Exception):
    """The shipment was changed between two queries."""


def _read(viewer: Viewer, variant: str, reference: str, *, has: Callable[[str], bool]) -> Shown | None:
    """This will return a shipment past the cache."""
    row = selectors.get(viewer, reference)
    if row is None:
        return None
    etag = _etag(row, variant)
    return Shown(etag, None if has(etag) else _placed(_bare(row, variant), representation.position(row, _AT)))


def _kept(organization_id: uuid.UUID, row: representation.Row, variant: str) -> bytes:
    stamp = _stamp(row)

    def make() -> bytes:
        found = Shipment.objects.filter(pk=row["id"])
        full = found.values(*representation.SHIPMENT_COLUMNS).get()
        if _stamp(full) != stamp:
            raise _Overtaken
        return _bare(full, variant)

    return shipments.stamped(_key(organization_id, row["reference"], variant), stamp, make)


def _key(organization_id: uuid.UUID, reference: str, variant: str) -> str:
    return f"shipment:{organization_id}:{reference}:{variant}"


def _stamp(row: representation.Row) -> bytes:
    """This will return the digest of all that decides what is shown, but for the position."""
    return _digest(*(row[column] for column in _STATE))


def _etag(row: representation.Row, variant: str) -> str:
    """This will return `"<seq>.<hash>"`: the hash covers what the number does not determine."""
    beside = _digest(variant, _stamp(row), *(row[column] for column in _POSITION))
    return f'"{row["seq"]}.{beside[:6].hex()}"'


# -- a page -----------------------------------------------------------------------------------------------


def _written(found: Found, variant: str, more: representation.Json) -> bytes:
    """This will write a page down: a line about it, then a line for each shipment."""
    about = more | {
        "at": time.time(),
        "drivers": [row["driver_id"] for row in found.rows],
        "next": found.next,
        "previous": found.previous,
    }
    return b"\n".join([orjson.dumps(about), *(_bare(row, variant) for row in found.rows)])


def _laid_out(written: bytes, where_are: Callable[[set[str]], Positions]) -> Listing:
    """This will make a page of what was written down, and of where its drivers are."""
    first, *lines = written.split(b"\n")
    about = orjson.loads(first)
    where = where_are({driver for driver in about["drivers"] if driver})
    results = b",".join(
        _placed(line, where.get(driver)) for line, driver in zip(lines, about["drivers"], strict=True)
    )
    ends = orjson.dumps({"next": about["next"], "previous": about["previous"]})
    return Listing(b'{"results":[' + results + b"]," + ends[1:], about["next"], about["previous"])


def _within(found: Found) -> Callable[[set[str]], Positions]:
    """This will return where the drivers are as the rows, which were read at this moment, tell it."""
    where = {str(row["driver_id"]): representation.position(row, _AT) for row in found.rows}
    return lambda _: where


def _positions(drivers: set[str]) -> Positions:
    """This will return where the drivers are at this moment: one query."""
    if not drivers:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_WHERE_ARE, [[uuid.UUID(driver) for driver in drivers]])
        return {
            str(driver): representation.position(dict(zip(_WHERE, seen, strict=True)), "")
            for driver, *seen in cursor.fetchall()
        }


# -- JSON -------------------------------------------------------------------------------------------------


def _bare(row: representation.Row, variant: str) -> bytes:
    """This will write a shipment, without its position, as JSON on one line."""
    shown = representation.shipment(row, variant)
    del shown["position"]
    return orjson.dumps(shown)


def _placed(bare: bytes, position: representation.Json | None) -> bytes:
    """This will put the position into the JSON of a shipment."""
    return bare[:-1] + b',"position":' + orjson.dumps(position) + b"}"


def _digest(*parts: object) -> bytes:
    text = repr((_generation(), [_plain(part) for part in parts]))
    return hashlib.blake2b(text.encode(), digest_size=STAMP_BYTES).digest()


def _plain(part: object) -> object:
    """This will return what prints the same in every process."""
    if isinstance(part, datetime):
        return part.astimezone(UTC).isoformat()
    return str(part) if isinstance(part, uuid.UUID) else part


@lru_cache(maxsize=1)
def _generation() -> str:
    """This will name the code that prepares, and the key that signs cursors: others' entries are no answers."""
    sources = b"".join(Path(file).read_bytes() for file in (representation.__file__, versions.__file__, __file__))
    return salted_hmac("shipments.selectors.prepared", sources + settings.VERSION.encode()).hexdigest()[:16]
