"""A page of shipments as it is cached: a line of metadata, then a line of JSON for each shipment.

The positions of drivers change far more often than all else. They are no part of the lines, and are put in when the
page is rendered.
"""

import hashlib
from typing import Any

import orjson

from shipments.caching import prepared
from shipments.selectors.lists import rendering
from shipments.selectors.lists.rendering import RenderedPage
from shipments.selectors.positions import PositionsByDriver


class CachedPage:
    """A page in its cached form.

    `positions` are those that were read with the rows, None for a page out of the cache: the caller reads them.
    """

    def __init__(self, serialized: bytes, positions: PositionsByDriver | None = None) -> None:
        first, *self._lines = serialized.split(b"\n")
        self._metadata: dict[str, Any] = orjson.loads(first)
        self.positions = positions

    @property
    def drivers(self) -> set[str]:
        """The ids of the drivers whose positions the page shows."""
        return {driver for driver in self._metadata["drivers"] if driver}

    def render(self, positions: PositionsByDriver) -> RenderedPage:
        """Return the page as JSON with these positions; the ETag is a hash of the body."""
        metadata = self._metadata
        results = [
            prepared.with_position(line, positions.get(driver))
            for line, driver in zip(self._lines, metadata["drivers"], strict=True)
        ]
        body = rendering.render_results(results, metadata["next"], metadata["previous"])
        etag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        return RenderedPage(body, metadata["next"], metadata["previous"], etag)
