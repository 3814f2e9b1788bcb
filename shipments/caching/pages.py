"""Pages of shipments out of the cache, each stamped with the version of its organisation."""

from functools import lru_cache, partial
from typing import Final

from django.conf import settings
from django.db import connection

from shipments.caching import prepared, versions
from shipments.caching.cached_page import CachedPage
from shipments.caching.page_builder import PageBuilder
from shipments.caching.service import CacheService
from shipments.caching.versions import Version
from shipments.selectors.lists.query import ListQuery

# Every commit in an organisation gives its pages another version: no use in keeping one for long.
page_cache: Final = CacheService("list", ttl=min(60, settings.CACHE_TTL_SECONDS))


def get_local(query: ListQuery, version: Version) -> CachedPage | None:
    """Return the page at this version out of this process, None where it is not here. No I/O."""
    serialized = page_cache.get_local(_cache_key(query), _stamp(version))
    return None if serialized is None else CachedPage(serialized)


def fetch_page(query: ListQuery, *, version: Version | None = None) -> CachedPage:
    """Return the page of a query, from this process, Redis or the database.

    The version of the organisation is read unless the caller has read it just now.
    """
    # A transaction may see what is never committed: its pages are not for others.
    if connection.in_atomic_block:
        version = None
    elif version is None:
        version = versions.current_version(query.scope.organization_id)
    builder = PageBuilder(query, version)
    if version is None:
        serialized = builder.build()
    else:
        # Rows committed after the version was read do no harm in the entry: nobody reads this version again.
        serialized = page_cache.get_or_set_stamped(
            _cache_key(query),
            _stamp(version),
            builder.build,
            is_current=partial(builder.is_current, max_age=page_cache.ttl),
        )
    return CachedPage(serialized, builder.positions)


@lru_cache(maxsize=1024)
def _cache_key(query: ListQuery) -> str:
    scope = query.scope
    # The role counts by itself: what a search may look at depends on it.
    visibility = (scope.role, scope.customer_id, scope.driver_id, scope.shipment_id, query.variant)
    return f"list:{scope.organization_id}:{prepared.digest(visibility, query.path, query.query_string).hex()}"


def _stamp(version: Version) -> bytes:
    return prepared.digest(version.events, version.epoch)
