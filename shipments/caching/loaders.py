"""What is asked with every read of a page, for many who ask at once: on the event loop, by one query each."""

import uuid
from collections.abc import Collection
from typing import Final

from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.auth.tokens import Claims
from shipments.caching import versions
from shipments.caching.versions import Version
from shipments.selectors import async_pool, positions
from shipments.selectors.positions import PositionsByDriver

# The version of an organisation (so many columns), and behind it who asks: of one snapshot.
_VERSION_COLUMNS: Final = 4
_SUBJECTS_WITH_VERSIONS_SQL: Final = f"""
WITH who AS MATERIALIZED ({bearers.LOGINS_SQL})
SELECT version.*, who.* FROM who
JOIN ({versions.version_sql("(SELECT DISTINCT organization_id FROM who)")}) AS version ON version.id = organization_id
"""


async def load_versions(organizations: Collection[uuid.UUID]) -> dict[uuid.UUID, Version]:
    """Return the version of each organisation, as `versions.now` does; those without one are left out."""
    rows = await async_pool.fetch(versions.VERSION_SQL, [list(organizations)])
    versions_by_organization = {organization: versions.version_of_row(row) for organization, *row in rows}
    return {
        organization: version for organization, version in versions_by_organization.items() if version is not None
    }


async def load_subjects_with_versions(batch: Collection[Claims]) -> dict[Claims, tuple[Subject, Version | None]]:
    """Return whom these access tokens stand for, and the version of the organisation that they are of.

    Tokens that are not good (any more) are left out.
    """
    rows = await async_pool.fetch(_SUBJECTS_WITH_VERSIONS_SQL, [[claims.login_id for claims in batch]])
    # Behind the id of the organisation, which stands in the login too.
    rows_by_login = {row[_VERSION_COLUMNS]: (row[_VERSION_COLUMNS:], row[1:_VERSION_COLUMNS]) for row in rows}
    loaded = {}
    for claims in batch:
        login, version = rows_by_login.get(claims.login_id, (None, ()))
        subject = bearers.subject_of_login(claims, login)
        if subject is not None:
            loaded[claims] = subject, versions.version_of_row(version)
    return loaded


async def load_positions(drivers: Collection[str]) -> PositionsByDriver:
    """Return where drivers are, by their ids as text; those who were never seen may be left out."""
    return positions.positions_by_driver(
        await async_pool.fetch(positions.POSITIONS_SQL, [[uuid.UUID(driver) for driver in drivers]])
    )
