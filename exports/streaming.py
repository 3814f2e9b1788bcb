"""From a writer's thread to the event loop: a file block by block, ended, counted and freed whatever happens.

The writer is asked for its next blocks while the last ones leave, and for no more: what holds back the reader holds
back PostgreSQL.
"""

import asyncio
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from django.db import connection

from exports.formats import Format, Sheet
from exports.record import Record

# Handed over at once: a hop between threads costs as much as it costs to write 100 rows.
PULL_BYTES: Final = 256 * 1024
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31  # zlib's number for gzip's frame
# A file that nobody begins to take gives its place back: its request was given up meanwhile.
_UNTAKEN_SECONDS: Final = 5.0


class NotTaken(Exception):
    """The file waited for its reader too long."""


def compressed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """This will yield the blocks as one gzip member; the first leave at once."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    first = True
    for block in blocks:
        packed = packer.compress(block)
        if first:
            packed += packer.flush(zlib.Z_SYNC_FLUSH)
            first = False
        if packed:
            yield packed
    yield packer.flush()


class Stream:
    """One file on its way to one reader, begun at once. `release` gives its place back."""

    def __init__(
        self,
        sheet: Sheet,
        kind: Format,
        record: Record,
        *,
        gzip: bool,
        release: Callable[[], None],
    ) -> None:
        blocks = kind.write(sheet)
        self._blocks = compressed(blocks) if gzip else blocks
        self._sheet, self._record, self._release = sheet, record, release
        self._sent = 0
        self._want = 1  # the first block leaves at once
        self._lock = threading.Lock()
        self._begun = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._ahead = self._thread.submit(self._pull)
        self._timer = threading.Timer(_UNTAKEN_SECONDS, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    async def taken(self) -> AsyncGenerator[bytes, None]:
        """This will yield the file and write the end of its record; what breaks off is raised on.

        The answer must not end as if it were whole.
        """
        if not self._begin():
            raise NotTaken
        outcome = "cancelled"
        try:
            while block := await asyncio.wrap_future(self._ahead):
                self._ahead = self._thread.submit(self._pull)
                self._sent += len(block)
                yield block
            outcome = "done"
        except Exception:
            outcome = "failed"
            raise
        finally:
            if outcome == "cancelled":
                # The event loop must not wait for the server that is to end the COPY.
                threading.Thread(target=self._sheet.reading.cancel, name="export cancel", daemon=True).start()
                self._end(outcome)
            else:
                await asyncio.wrap_future(self._end(outcome))

    def drop(self) -> None:
        """This will give the file up before anybody takes it, and tell nobody."""
        if self._begin():
            self._sheet.reading.cancel()
            self._thread.submit(self._free)
            self._thread.shutdown(wait=False)

    def _begin(self) -> bool:
        self._timer.cancel()
        with self._lock:
            begun, self._begun = self._begun, True
        return not begun

    def _give_up(self) -> None:
        if self._begin():
            self._end("cancelled")

    def _pull(self) -> bytes:
        parts, size = [], 0
        for block in self._blocks:
            parts.append(block)
            size += len(block)
            if size >= self._want:
                break
        self._want = PULL_BYTES
        self._record.alive()
        return b"".join(parts)

    def _end(self, outcome: str) -> "Future[None]":
        ended = self._thread.submit(self._finish, outcome)
        self._thread.shutdown(wait=False)
        return ended

    def _finish(self, outcome: str) -> None:
        """This will free what the file held, in the thread that wrote it, then tell its end."""
        try:
            self._free()
        finally:
            self._record.end(outcome, sent=self._sent)
            if not connection.in_atomic_block:
                connection.close()

    def _free(self) -> None:
        try:
            close = getattr(self._blocks, "close", None)
            if close:
                close()
        finally:
            self._sheet.reading.close()
            self._release()
