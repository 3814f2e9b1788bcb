"""Authentication of bearer tokens on an event loop; concurrent access tokens share one query."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from monitoring import clock
from monitoring.dependencies.batching import LINGER_SECONDS, BatchLoader
from monitoring.dependencies.threads import run_in_thread
from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.selectors import async_reads


class TokenAuthenticator:
    """Verifies access tokens on the loop; API keys and tracking links in a thread, which records their use."""

    def __init__(self, threads: ThreadPoolExecutor, *, linger: float = LINGER_SECONDS) -> None:
        """Use `threads` for opaque tokens; `linger` is passed to the BatchLoader, in seconds."""
        self._threads = threads
        self._subjects_by_claims = BatchLoader.of_reads(async_reads.subjects_of_claims, linger=linger)

    async def authenticate(self, raw: str) -> Subject | None:
        """Return the current subject of a token, None where it is invalid, expired or revoked."""
        now = clock.now()
        if bearers.is_opaque_token(raw):
            return await run_in_thread(self._threads, partial(bearers.authenticate, raw, now=now))
        claims = bearers.verify_claims(raw, now=now)
        return (await self._subjects_by_claims.load_many([claims])).get(claims) if claims else None
