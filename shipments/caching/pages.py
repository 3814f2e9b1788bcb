"""A page of shipments as bytes, made of prepared shipments and kept until something in it changes.

What is kept is a line about the page and a line for each shipment, without the positions of the drivers: those are
read each time and put in.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connection

from shipments import representation
from shipments.caching import prepared, versions
from shipments.caching.service import CacheService
from shipments.caching.versions import Version
from shipments.querysets import Viewer

PositionsByDriver = dict[str, representation.Json | None]
_POSITION_FIELDS: Final = ("latitude", "longitude", "recorded_at")
POSITIONS_SQL: Final = (
    "SELECT driver_id, latitude, longitude, recorded_at FROM shipments_driverposition WHERE driver_id = ANY(%s)"
)

# Every commit in an organisation makes its pages new ones: no use in keeping them long.
page_cache: Final = CacheService("list", ttl=min(60, settings.CACHE_TTL_SECONDS))


@dataclass(frozen=True, slots=True)
class PageRows:
    """The rows of a page (`SHIPMENT_COLUMNS`) and the addresses of the pages around it."""

    rows: Sequence[representation.Row]
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page as JSON, and the addresses of the pages around it."""

    body: bytes
    next: str | None
    previous: str | None

    @property
    def etag(self) -> str:
        """The version of the page: the hash of what is shown."""
        return f'"{hashlib.blake2b(self.body, digest_size=8).hexdigest()}"'


class CachedPage:
    """A page as it is kept."""

    def __init__(self, serialized: bytes) -> None:
        first, *self._lines = serialized.split(b"\n")
        self._metadata: dict[str, Any] = orjson.loads(first)

    @property
    def drivers(self) -> set[str]:
        """The drivers whose positions it wants."""
        return {driver for driver in self._metadata["drivers"] if driver}

    def render(self, positions: PositionsByDriver) -> RenderedPage:
        """Make the page of it, and of where its drivers are."""
        metadata = self._metadata
        results = b",".join(
            prepared.with_position(line, positions.get(driver))
            for line, driver in zip(self._lines, metadata["drivers"], strict=True)
        )
        ends = orjson.dumps({"next": metadata["next"], "previous": metadata["previous"]})
        return RenderedPage(b'{"results":[' + results + b"]," + ends[1:], metadata["next"], metadata["previous"])


def get_local(viewer: Viewer, variant: str, full_path: str, version: Version) -> CachedPage | None:
    """Return the page that was asked for at this version, None where it is not at hand.

    Nothing is waited for.
    """
    serialized = page_cache.get_local(_cache_key(viewer, variant, full_path), _stamp(version))
    return None if serialized is None else CachedPage(serialized)


def fetch_page(
    viewer: Viewer,
    variant: str,
    full_path: str,
    read_rows: Callable[[], PageRows],
    *,
    version: Version | None = None,
) -> RenderedPage:
    """Return the page that `asked` (path and query, as written) stands for; `read` finds its rows.

    The version is read unless the caller has read it just now.
    """
    # What a transaction sees may never be committed: it is not for others.
    if connection.in_atomic_block:
        version = None
    elif version is None:
        version = versions.current_version(viewer.organization_id)
    if version is None:
        page_rows = read_rows()
        return CachedPage(_serialize(page_rows, variant, {})).render(_positions_in_rows(page_rows))
    positions_read: PositionsByDriver | None = None
    trackable = versions.trackable_page(viewer, full_path)

    def read_and_serialize() -> bytes:
        nonlocal positions_read
        page_rows = read_rows()
        positions_read = _positions_in_rows(page_rows)
        return _serialize(page_rows, variant, versions.page_baseline(page_rows.rows, version) if trackable else {})

    def is_current(serialized: bytes) -> bool:
        metadata = orjson.loads(serialized.partition(b"\n")[0])
        is_unexpired = time.time() - metadata["at"] < page_cache.ttl
        return trackable is not None and is_unexpired and versions.is_page_current(trackable, metadata, version)

    # What was committed after the version was read does no harm in it: nobody will read this version again.
    page = CachedPage(
        page_cache.get_or_set_stamped(
            _cache_key(viewer, variant, full_path),
            _stamp(version),
            read_and_serialize,
            is_current=is_current if trackable else None,
        )
    )
    return page.render(_fetch_positions(page.drivers) if positions_read is None else positions_read)


def positions_by_driver(rows: Sequence[Sequence[Any]]) -> PositionsByDriver:
    """Return where drivers are by rows of `WHERE_ARE`."""
    return {
        str(driver): representation.position(dict(zip(_POSITION_FIELDS, position_values, strict=True)), "")
        for driver, *position_values in rows
    }


def _cache_key(viewer: Viewer, variant: str, full_path: str) -> str:
    # The role stands for itself: what may be searched, too, may depend on it.
    visibility = (viewer.role, viewer.customer_id, viewer.driver_id, viewer.shipment_id, variant)
    return f"list:{viewer.organization_id}:{prepared.digest(visibility, full_path).hex()}"


def _stamp(version: Version) -> bytes:
    return prepared.digest(version.events, version.epoch)


def _serialize(page_rows: PageRows, variant: str, baseline: representation.Json) -> bytes:
    """Write a page down: a line about it, then a line for each shipment."""
    metadata = baseline | {
        "at": time.time(),
        "drivers": [row["driver_id"] for row in page_rows.rows],
        "next": page_rows.next,
        "previous": page_rows.previous,
    }
    return b"\n".join(
        [orjson.dumps(metadata), *(prepared.without_position(row, variant) for row in page_rows.rows)]
    )


def _positions_in_rows(page_rows: PageRows) -> PositionsByDriver:
    """Return where the drivers are as the rows, which were read at this moment, tell it."""
    return {str(row["driver_id"]): representation.position(row, prepared.POSITION_PREFIX) for row in page_rows.rows}


def _fetch_positions(drivers: set[str]) -> PositionsByDriver:
    """Return where the drivers are at this moment: one query."""
    if not drivers:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(POSITIONS_SQL, [[uuid.UUID(driver) for driver in drivers]])
        return positions_by_driver(cursor.fetchall())
