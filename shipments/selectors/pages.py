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
from shipments.cache import CacheService
from shipments.querysets import Viewer
from shipments.selectors import prepared, versions
from shipments.selectors.versions import Version

Positions = dict[str, representation.Json | None]
_WHERE: Final = ("latitude", "longitude", "recorded_at")
WHERE_ARE: Final = (
    "SELECT driver_id, latitude, longitude, recorded_at FROM shipments_driverposition WHERE driver_id = ANY(%s)"
)

# Every commit in an organisation makes its pages new ones: no use in keeping them long.
kept: Final = CacheService("list", ttl=min(60, settings.CACHE_TTL_SECONDS))


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


class Kept:
    """A page as it is kept."""

    def __init__(self, written: bytes) -> None:
        first, *self._lines = written.split(b"\n")
        self._about: dict[str, Any] = orjson.loads(first)

    @property
    def drivers(self) -> set[str]:
        """The drivers whose positions it wants."""
        return {driver for driver in self._about["drivers"] if driver}

    def laid_out(self, where: Positions) -> Listing:
        """This will make the page of it, and of where its drivers are."""
        about = self._about
        results = b",".join(
            prepared.placed(line, where.get(driver))
            for line, driver in zip(self._lines, about["drivers"], strict=True)
        )
        ends = orjson.dumps({"next": about["next"], "previous": about["previous"]})
        return Listing(b'{"results":[' + results + b"]," + ends[1:], about["next"], about["previous"])


def at_hand(viewer: Viewer, variant: str, asked: str, version: Version) -> Kept | None:
    """This will return the page that was asked for at this version, None where it is not at hand.

    Nothing is waited for.
    """
    written = kept.at_hand(_key(viewer, variant, asked), _stamp(version))
    return None if written is None else Kept(written)


def listing(
    viewer: Viewer, variant: str, asked: str, read: Callable[[], Found], *, version: Version | None = None
) -> Listing:
    """This will return the page that `asked` (path and query, as written) stands for; `read` finds its rows.

    The version is read unless the caller has read it just now.
    """
    # What a transaction sees may never be committed: it is not for others.
    if connection.in_atomic_block:
        version = None
    elif version is None:
        version = versions.now(viewer.organization_id)
    if version is None:
        found = read()
        return Kept(_written(found, variant, {})).laid_out(_within(found))
    where: Positions | None = None
    kind = versions.kind(viewer, asked)

    def make() -> bytes:
        nonlocal where
        found = read()
        where = _within(found)
        return _written(found, variant, versions.base(found.rows, version) if kind else {})

    def still(written: bytes) -> bool:
        about = orjson.loads(written.partition(b"\n")[0])
        young = time.time() - about["at"] < kept.ttl
        return kind is not None and young and versions.stands(kind, about, version)

    # What was committed after the version was read does no harm in it: nobody will read this version again.
    page = Kept(kept.stamped(_key(viewer, variant, asked), _stamp(version), make, still=still if kind else None))
    return page.laid_out(_positions(page.drivers) if where is None else where)


def positions(rows: Sequence[Sequence[Any]]) -> Positions:
    """This will return where drivers are by rows of `WHERE_ARE`."""
    return {
        str(driver): representation.position(dict(zip(_WHERE, seen, strict=True)), "") for driver, *seen in rows
    }


def _key(viewer: Viewer, variant: str, asked: str) -> str:
    # The role stands for itself: what may be searched, too, may depend on it.
    sees = (viewer.role, viewer.customer_id, viewer.driver_id, viewer.shipment_id, variant)
    return f"list:{viewer.organization_id}:{prepared.digest(sees, asked).hex()}"


def _stamp(version: Version) -> bytes:
    return prepared.digest(version.events, version.epoch)


def _written(found: Found, variant: str, more: representation.Json) -> bytes:
    """This will write a page down: a line about it, then a line for each shipment."""
    about = more | {
        "at": time.time(),
        "drivers": [row["driver_id"] for row in found.rows],
        "next": found.next,
        "previous": found.previous,
    }
    return b"\n".join([orjson.dumps(about), *(prepared.bare(row, variant) for row in found.rows)])


def _within(found: Found) -> Positions:
    """This will return where the drivers are as the rows, which were read at this moment, tell it."""
    return {str(row["driver_id"]): representation.position(row, prepared.AT) for row in found.rows}


def _positions(drivers: set[str]) -> Positions:
    """This will return where the drivers are at this moment: one query."""
    if not drivers:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(WHERE_ARE, [[uuid.UUID(driver) for driver in drivers]])
        return positions(cursor.fetchall())
