"""What is asked with every read of a page, for many who ask at once: on the event loop, by one query each."""

import uuid
from collections.abc import Collection

from shipments.selectors import live, pages, versions
from shipments.selectors.versions import Version


async def now(organizations: Collection[uuid.UUID]) -> dict[uuid.UUID, Version]:
    """This will return the version of each organisation, as `versions.now` does; those without one are left out."""
    rows = await live.fetch(versions.SQL, [list(organizations)])
    found = {organization: versions.of_row(row) for organization, *row in rows}
    return {organization: version for organization, version in found.items() if version is not None}


async def positions(drivers: Collection[str]) -> pages.Positions:
    """This will return where drivers are, by their ids as text; those who were never seen may be left out."""
    return pages.positions(await live.fetch(pages.WHERE_ARE, [[uuid.UUID(driver) for driver in drivers]]))
