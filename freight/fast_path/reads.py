"""What the lane reads: on the event loop, for all who ask at this moment by few questions, else in a few threads.

Whoever reads a shipment or a page again and again (a board that polls, a system that follows its orders) asks who
it is and what stands now; the JSON itself is kept in this process. Both are asked of PostgreSQL once for as many as
ask them. What has to be made is made in a thread.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from django.http import HttpRequest
from django.utils import timezone

from freight.fast_path.eligibility import NotEligible
from monitoring.dependencies import deadlines
from monitoring.dependencies.batching import BatchLoader
from monitoring.dependencies.threads import run_in_thread
from realtime.access.token_authenticator import TokenAuthenticator
from shipments.api import authentication
from shipments.api.http import conditional
from shipments.api.shipments.shipment_views import fetch_shipment_page
from shipments.auth import bearers
from shipments.auth.subjects import Subject, VisibilityScope
from shipments.caching import loaders, pages, prepared
from shipments.caching.versions import Version
from shipments.representation import Row
from shipments.selectors import async_reads

# Each has to get the interpreter back after each word with PostgreSQL or Redis. Eight spend up to a third more
# processor time than four, in taking it from each other, and answer less.
_THREADS: Final = 4


class Reads:
    """The reads of one process."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="read-lane")
        # Those who ask wait for their answer: nobody waits for more of them.
        self._tokens = TokenAuthenticator(self._executor, linger=0)
        self._rows = BatchLoader(_load_rows, linger=0)
        self._subjects_with_versions = BatchLoader(loaders.load_subjects_with_versions, linger=0)
        self._versions = BatchLoader(loaders.load_versions, linger=0)
        self._positions = BatchLoader(loaders.load_positions, linger=0)

    async def subject(self, request: HttpRequest) -> Subject:
        """Return who asks, which is then known of the request; raises Declined where nobody does."""
        with deadlines.pool_checkout():
            return _attach_subject(request, await self._tokens.authenticate(_bearer(request)))

    async def subject_with_version(self, request: HttpRequest) -> tuple[Subject, Version | None]:
        """Return who asks, as `subject` does, and the version of their organisation."""
        raw = _bearer(request)
        if bearers.is_opaque_token(raw):
            subject = await self.subject(request)
            with deadlines.pool_checkout():
                versions = await self._versions.load_many([subject.organization_id])
            return subject, versions.get(subject.organization_id)
        claims = bearers.verify_claims(raw, now=timezone.now())
        if claims is None:
            raise NotEligible
        with deadlines.pool_checkout():
            claimed_subject, version = (await self._subjects_with_versions.load_many([claims])).get(
                claims, (None, None)
            )
        return _attach_subject(request, claimed_subject), version

    async def shipment(
        self, request: HttpRequest, subject: Subject, reference: str
    ) -> prepared.PreparedShipment | None:
        """Return one shipment, None where it is missing or not for the subject."""
        key = subject.visibility_scope, reference.upper()
        with deadlines.pool_checkout():
            row = (await self._rows.load_many([key])).get(key)
        if row is None:
            return None
        is_fresh = partial(conditional.is_fresh, request)
        rendered = prepared.get_local(subject, subject.variant, row, client_has=is_fresh)
        if rendered is not None:
            return rendered
        render = partial(prepared.get_or_make, subject, subject.variant, row, client_has=is_fresh)
        return await run_in_thread(self._executor, render)

    async def page(
        self, request: HttpRequest, subject: Subject, version: Version | None
    ) -> tuple[pages.RenderedPage, str]:
        """Return the page that is asked for, and its ETag; raises what the view does.

        The version is that of the subject's organisation, read just now.
        """
        cached_page = version and pages.get_local(subject, subject.variant, request.get_full_path(), version)
        if cached_page:
            with deadlines.pool_checkout():
                page = cached_page.render(await self._positions.load_many(cached_page.drivers))
                return page, page.etag

        def read() -> tuple[pages.RenderedPage, str]:
            page = fetch_shipment_page(request, subject, version=version)
            return page, page.etag

        return await run_in_thread(self._executor, read)


def _bearer(request: HttpRequest) -> str:
    scheme, _, raw = str(request.META["HTTP_AUTHORIZATION"]).partition(" ")
    if scheme.lower() != "bearer":
        raise NotEligible
    return raw.strip()


def _attach_subject(request: HttpRequest, subject: Subject | None) -> Subject:
    """Have the subject known of the request: limiter and log read it there."""
    if subject is None:
        raise NotEligible
    subject = authentication.with_request_origin(subject, request)
    request.subject = subject  # type: ignore[attr-defined]
    return subject


RowKey = tuple[VisibilityScope, str]


async def _load_rows(keys: Collection[RowKey]) -> dict[RowKey, Row]:
    """Return what stands now of these shipments, where they are in sight: one question for each sight."""
    references_by_sight: dict[VisibilityScope, list[str]] = {}
    for sight, reference in keys:
        references_by_sight.setdefault(sight, []).append(reference)
    return {
        (sight, reference): row
        for sight, references in references_by_sight.items()
        for reference, row in (await async_reads.fetch_visible(sight, references, prepared.STATE_COLUMNS)).items()
    }
