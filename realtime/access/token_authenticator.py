"""Whom a token stands for, asked by an event loop: of all who ask at a moment by one query."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from django.utils import timezone

from monitoring.dependencies.batching import LINGER_SECONDS, BatchLoader
from monitoring.dependencies.threads import run_in_thread
from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.selectors import async_reads


class TokenAuthenticator:
    """Reads access tokens, API keys and tracking links; the use of a key or link is noted, in a thread."""

    def __init__(self, threads: ThreadPoolExecutor, *, linger: float = LINGER_SECONDS) -> None:
        """`linger`: how long, in a crowd, a read waits for more of it."""
        self._threads = threads
        self._subjects_by_claims = BatchLoader(async_reads.subjects_of_claims, linger=linger)

    async def authenticate(self, raw: str) -> Subject | None:
        """Return whom it stands for now, None where it is no good."""
        now = timezone.now()
        if bearers.is_opaque_token(raw):
            return await run_in_thread(self._threads, partial(bearers.authenticate, raw, now=now))
        claims = bearers.verify_claims(raw, now=now)
        return (await self._subjects_by_claims.load_many([claims])).get(claims) if claims else None
