"""What the fast path reads from PostgreSQL and Redis: on the event loop in shared queries, or in a few threads.

A client that reads a shipment or a page again and again (a board that polls, a system that follows its orders)
needs two things from PostgreSQL: its subject, and the committed state of what it reads. Both are loaded for many
concurrent requests by one query each; the JSON itself is in this process. What is not in this process is made in a
thread.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from django.http import HttpRequest

from freight.fast_path.eligibility import NotEligible
from monitoring import clock
from monitoring.dependencies import deadlines
from monitoring.dependencies.batching import BatchLoader
from monitoring.dependencies.threads import run_in_thread
from realtime.access.token_authenticator import TokenAuthenticator
from shipments.api.http import conditional
from shipments.auth import bearers
from shipments.auth.request_origin import with_request_origin
from shipments.auth.subjects import Subject, VisibilityScope
from shipments.caching import loaders, pages, prepared
from shipments.caching.versions import Version
from shipments.representation import Row
from shipments.selectors import async_reads
from shipments.selectors.lists.query import ListQuery
from shipments.selectors.lists.rendering import RenderedPage

# A thread has to regain the interpreter after each round trip. Eight threads take up to a third more processor time
# than four, in switching, and answer fewer requests.
_THREADS: Final = 4


class Reads:
    """The reads of one process."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="fast-path")
        # No lingering: every call is a request that waits for its answer.
        self._tokens = TokenAuthenticator(self._executor, linger=0)
        self._rows = BatchLoader.of_reads(_load_rows, linger=0)
        self._subjects_with_versions = BatchLoader.of_reads(loaders.load_subjects_with_versions, linger=0)
        self._versions = BatchLoader.of_reads(loaders.load_versions, linger=0)
        self._positions = BatchLoader.of_reads(loaders.load_positions, linger=0)

    async def subject(self, request: HttpRequest) -> Subject:
        """Return the caller and set it on the request; raises NotEligible where the token is not valid."""
        with deadlines.pool_checkout():
            return _attach_subject(request, await self._tokens.authenticate(_bearer(request)))

    async def subject_with_version(self, request: HttpRequest) -> tuple[Subject, Version | None]:
        """Return the caller, as `subject` does, and the version of its organisation."""
        raw = _bearer(request)
        if bearers.is_opaque_token(raw):
            subject = await self.subject(request)
            with deadlines.pool_checkout():
                return subject, await self._versions.load(subject.organization_id)
        claims = bearers.verify_claims(raw, now=clock.now())
        if claims is None:
            raise NotEligible
        with deadlines.pool_checkout():
            claimed_subject, version = await self._subjects_with_versions.load(claims) or (None, None)
        return _attach_subject(request, claimed_subject), version

    async def shipment(
        self, request: HttpRequest, subject: Subject, reference: str
    ) -> prepared.PreparedShipment | None:
        """Return one shipment, None where it is missing or not for the subject."""
        with deadlines.pool_checkout():
            row = await self._rows.load((subject.visibility_scope, reference.upper()))
        if row is None:
            return None
        is_fresh = partial(conditional.is_fresh, request)
        local = prepared.get_local(subject, subject.variant, row, client_has=is_fresh)
        if local is not None:
            return local
        make = partial(prepared.get_or_make, subject, subject.variant, row, client_has=is_fresh)
        return await run_in_thread(self._executor, make)

    async def page(self, query: ListQuery, version: Version | None) -> RenderedPage:
        """Fetch and render the page of a query; the version is that of its organisation, read just now."""
        page = pages.get_local(query, version) if version else None
        if page is None:
            page = await run_in_thread(self._executor, partial(pages.fetch_page, query, version=version))
        positions = page.positions
        if positions is None:
            with deadlines.pool_checkout():
                positions = await self._positions.load_many(page.drivers)
        return page.render(positions)


def _bearer(request: HttpRequest) -> str:
    scheme, _, raw = str(request.META["HTTP_AUTHORIZATION"]).partition(" ")
    if scheme.lower() != "bearer":
        raise NotEligible
    return raw.strip()


def _attach_subject(request: HttpRequest, subject: Subject | None) -> Subject:
    """Set the subject on the request, where limiter and request log read it."""
    if subject is None:
        raise NotEligible
    subject = with_request_origin(subject, request)
    request.subject = subject  # type: ignore[attr-defined]  # where middleware and views set it, too
    return subject


RowKey = tuple[VisibilityScope, str]


async def _load_rows(keys: Collection[RowKey]) -> dict[RowKey, Row]:
    """Return the current state of these shipments, where they are visible: one query for each scope."""
    references_by_scope: dict[VisibilityScope, list[str]] = {}
    for scope, reference in keys:
        references_by_scope.setdefault(scope, []).append(reference)
    return {
        (scope, reference): row
        for scope, references in references_by_scope.items()
        for reference, row in (await async_reads.fetch_visible(scope, references, prepared.STATE_COLUMNS)).items()
    }
