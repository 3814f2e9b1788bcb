"""Stream a file from a writer thread to the event loop, block by block.

The writer reads one chunk ahead and no further: a slow client slows down the COPY (backpressure). However the
stream ends, its outcome is recorded and its slot and connection are released.
"""

import asyncio
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from django.db import connection

from exports.reports.format_registry import Dataset, Format
from exports.reports.run_recorder import RunRecorder

# A thread switch costs as much as writing 100 rows.
CHUNK_BYTES: Final = 256 * 1024
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31  # zlib: 15 bits of window plus 16 for a gzip header
# If the body is not read in this time, the request was abandoned and the slot is released.
_START_TIMEOUT_SECONDS: Final = 5.0


class StreamExpired(Exception):
    """The body was not read in time; the stream is released already."""


def gzip_blocks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the blocks as one gzip member; the first block is flushed, so that the response starts at once."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    first = True
    for block in blocks:
        packed = compressor.compress(block)
        if first:
            packed += compressor.flush(zlib.Z_SYNC_FLUSH)
            first = False
        if packed:
            yield packed
    yield compressor.flush()


class FileStream:
    """One file streamed to one client. The writer thread starts at once; `release` frees the caller's slot."""

    def __init__(
        self,
        dataset: Dataset,
        file_format: Format,
        recorder: RunRecorder,
        *,
        gzip: bool,
        release: Callable[[], None],
    ) -> None:
        blocks = file_format.write(dataset)
        self._blocks = gzip_blocks(blocks) if gzip else blocks
        self._dataset, self._recorder, self._release = dataset, recorder, release
        self._sent = 0
        self._chunk_bytes = 1  # the first chunk is one block
        self._lock = threading.Lock()
        self._claimed = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._next_chunk = self._executor.submit(self._read_chunk)
        self._timer = threading.Timer(_START_TIMEOUT_SECONDS, self._expire)
        self._timer.daemon = True
        self._timer.start()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file in chunks and record its outcome.

        An error is raised on, so that the response breaks off and never looks complete. Raises StreamExpired where
        the body is read too late.
        """
        if not self._claim():
            raise StreamExpired
        outcome = "cancelled"
        try:
            while block := await asyncio.wrap_future(self._next_chunk):
                self._next_chunk = self._executor.submit(self._read_chunk)
                self._sent += len(block)
                yield block
            outcome = "done"
        except Exception:
            outcome = "failed"
            raise
        finally:
            if outcome == "cancelled":
                # Cancelling the COPY is a round trip to PostgreSQL, which must not block the event loop.
                threading.Thread(target=self._dataset.reader.cancel, name="export cancel", daemon=True).start()
                self._end(outcome)
            else:
                await asyncio.wrap_future(self._end(outcome))

    def discard(self) -> None:
        """Release the stream before it is read, without recording an outcome."""
        if self._claim():
            self._dataset.reader.cancel()
            self._executor.submit(self._free)
            self._executor.shutdown(wait=False)

    def _claim(self) -> bool:
        self._timer.cancel()
        with self._lock:
            already_claimed, self._claimed = self._claimed, True
        return not already_claimed

    def _expire(self) -> None:
        if self._claim():
            self._end("cancelled")

    def _read_chunk(self) -> bytes:
        parts, size = [], 0
        for block in self._blocks:
            parts.append(block)
            size += len(block)
            if size >= self._chunk_bytes:
                break
        self._chunk_bytes = CHUNK_BYTES
        self._recorder.heartbeat()
        return b"".join(parts)

    def _end(self, outcome: str) -> "Future[None]":
        future = self._executor.submit(self._finish, outcome)
        self._executor.shutdown(wait=False)
        return future

    def _finish(self, outcome: str) -> None:
        """Release everything in the writer thread, then record the outcome."""
        try:
            self._free()
        finally:
            self._recorder.finish(outcome, sent=self._sent)
            if not connection.in_atomic_block:
                connection.close()

    def _free(self) -> None:
        try:
            close = getattr(self._blocks, "close", None)
            if close:
                close()
        finally:
            self._dataset.reader.close()
            self._release()
