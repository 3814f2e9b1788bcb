"""What is asked with every read of a page, for many who ask at once: on the event loop, by one query each."""

import uuid
from collections.abc import Collection
from typing import Final

from shipments import bearers
from shipments.access import Subject
from shipments.selectors import live, pages, versions
from shipments.selectors.versions import Version
from shipments.tokens import Claims

# The version of an organisation (so many columns), and behind it who asks: of one snapshot.
_VERSION: Final = 4
_STANDING: Final = f"""
WITH who AS MATERIALIZED ({bearers.LOGINS})
SELECT version.*, who.* FROM who
JOIN ({versions.sql_of("(SELECT DISTINCT organization_id FROM who)")}) AS version ON version.id = organization_id
"""  # noqa: S608


async def now(organizations: Collection[uuid.UUID]) -> dict[uuid.UUID, Version]:
    """This will return the version of each organisation, as `versions.now` does; those without one are left out."""
    rows = await live.fetch(versions.SQL, [list(organizations)])
    found = {organization: versions.of_row(row) for organization, *row in rows}
    return {organization: version for organization, version in found.items() if version is not None}


async def standing(asked: Collection[Claims]) -> dict[Claims, tuple[Subject, Version | None]]:
    """This will return whom these access tokens stand for, and the version of the organisation that they are of.

    Tokens that are not good (any more) are left out.
    """
    rows = await live.fetch(_STANDING, [[claims.login_id for claims in asked]])
    # Behind the id of the organisation, which stands in the login too.
    found = {row[_VERSION]: (row[_VERSION:], row[1:_VERSION]) for row in rows}
    known = {}
    for claims in asked:
        login, version = found.get(claims.login_id, (None, ()))
        subject = bearers.of_login(claims, login)
        if subject is not None:
            known[claims] = subject, versions.of_row(version)
    return known


async def positions(drivers: Collection[str]) -> pages.Positions:
    """This will return where drivers are, by their ids as text; those who were never seen may be left out."""
    return pages.positions(await live.fetch(pages.WHERE_ARE, [[uuid.UUID(driver) for driver in drivers]]))
