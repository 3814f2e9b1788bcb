"""Builds pages of shipments in the form in which they are cached: `cached_page` describes and renders it."""

import time

import orjson

from shipments import representation
from shipments.caching import prepared, versions
from shipments.caching.versions import Version
from shipments.selectors import positions
from shipments.selectors.lists import keyset
from shipments.selectors.lists.query import ListQuery
from shipments.selectors.positions import PositionsByDriver


class PageBuilder:
    """Builds the cached form of one page at one version, or tells whether an older form is still current."""

    def __init__(self, query: ListQuery, version: Version | None) -> None:
        self.positions: PositionsByDriver | None = None
        self._query, self._version = query, version

    def build(self) -> bytes:
        """Read the rows and return them serialised; `positions` are then those of the rows."""
        page = keyset.read_page(self._query)
        metadata: representation.Json = {}
        if self._version is not None and versions.trackable_page(self._query) is not None:
            metadata = versions.page_baseline(page.rows, self._version)
        metadata |= {
            "at": time.time(),
            "drivers": [row["driver_id"] for row in page.rows],
            "since": [representation.positions_since(row, self._query.variant) for row in page.rows],
            "match": self._match(page),
            "next": self._query.page_url(page.next),
            "previous": self._query.page_url(page.previous),
        }
        self.positions = positions.positions_in_rows(page.rows)
        lines = (prepared.without_position(row, self._query.variant) for row in page.rows)
        return b"\n".join([orjson.dumps(metadata), *lines])

    def _match(self, page: keyset.Page) -> str | None:
        """Return how the rows match the search, None where nothing is searched for."""
        if "q" not in self._query.filters:
            return None
        return "fuzzy" if page.is_fuzzy else "exact"

    def is_current(self, serialized: bytes, *, max_age: float) -> bool:
        """Tell whether an old form, at most `max_age` seconds old, shows what `build` would: at most one query."""
        trackable = versions.trackable_page(self._query)
        if self._version is None or trackable is None:
            return False
        metadata = orjson.loads(serialized.partition(b"\n")[0])
        is_unexpired = time.time() - metadata["at"] < max_age
        return is_unexpired and versions.is_page_current(trackable, metadata, self._version)
