"""Batch loads for reads of pages on the event loop: one query each for many concurrent requests."""

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

# Both in one snapshot: the version of an organisation in the first columns, behind it the login.
_VERSION_COLUMNS: Final = 4
_SUBJECTS_WITH_VERSIONS_SQL: Final = f"""
WITH login AS MATERIALIZED ({bearers.LOGINS_SQL})
SELECT version.*, login.* FROM login
JOIN ({versions.version_sql("(SELECT DISTINCT organization_id FROM login)")}) AS version
  ON version.id = organization_id
"""  # noqa: S608  made of constants


async def load_versions(organizations: Collection[uuid.UUID]) -> dict[uuid.UUID, Version]:
    """Return the version of each organisation as `versions.current_version` does, leaving out those without one."""
    rows = await async_pool.fetch(versions.VERSION_SQL, [list(organizations)])
    versions_by_organization = {organization: versions.version_of_row(row) for organization, *row in rows}
    return {
        organization: version for organization, version in versions_by_organization.items() if version is not None
    }


async def load_subjects_with_versions(batch: Collection[Claims]) -> dict[Claims, tuple[Subject, Version | None]]:
    """Return the subjects of these access tokens, each with the version of its organisation.

    Tokens that are no longer valid are left out.
    """
    rows = await async_pool.fetch(_SUBJECTS_WITH_VERSIONS_SQL, [[claims.login_id for claims in batch]])
    # The first column is the id of the organisation, which is among the columns of the login too.
    rows_by_login = {row[_VERSION_COLUMNS]: (row[_VERSION_COLUMNS:], row[1:_VERSION_COLUMNS]) for row in rows}
    loaded = {}
    for claims in batch:
        login, version = rows_by_login.get(claims.login_id, (None, ()))
        subject = bearers.subject_of_login(claims, login)
        if subject is not None:
            loaded[claims] = subject, versions.version_of_row(version)
    return loaded


async def load_positions(drivers: Collection[str]) -> PositionsByDriver:
    """Return the positions of drivers by their ids as text; those without a position are left out."""
    return positions.positions_by_driver(
        await async_pool.fetch(positions.POSITIONS_SQL, [[uuid.UUID(driver) for driver in drivers]])
    )
