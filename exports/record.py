"""The trace of an export in the audit: one entry when it starts, one when it is over, whatever its end."""

import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from asgiref.sync import sync_to_async
from django.db import Error, connection
from django.utils import timezone

from shipments import intake
from shipments.access import Subject

_log: Final = structlog.get_logger("exports")


@dataclass(slots=True)
class Record:
    """One export: who takes what. `rows` is their count in the snapshot."""

    by: Subject
    report: str
    format: str
    filters: Mapping[str, str]
    rows: int
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    sent: int = 0
    started: float = field(default_factory=time.monotonic)

    async def followed(self, blocks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """This will write that it starts, pass the blocks on and write the end: `done`, `failed` or `cancelled`.

        What broke off is raised on: the answer must not end as if it were whole. Nothing leaves before its start
        is written.
        """
        outcome = "cancelled"
        try:
            async with aclosing(blocks) as source:
                # Not the thread of the request, here and below, which may be gone with it.
                await sync_to_async(self._start, thread_sensitive=False)()
                async for block in source:
                    self.sent += len(block)
                    yield block
            outcome = "done"
        except Exception:
            outcome = "failed"
            raise
        finally:
            await sync_to_async(self._end, thread_sensitive=False)(outcome)

    def _start(self) -> None:
        try:
            self._write("started", {})
        finally:
            connection.close()

    def _end(self, outcome: str) -> None:
        seen = {"bytes": self.sent, "durationMs": round((time.monotonic() - self.started) * 1000)}
        try:
            self._write(outcome, seen)
        except Error as error:
            _log.error(
                "export not audited", export=str(self.id), outcome=outcome, error=type(error).__name__, **seen
            )
        finally:
            connection.close()

    def _write(self, outcome: str, seen: Mapping[str, Any]) -> None:
        told = {"report": self.report, "format": self.format, "filters": dict(self.filters), "rows": self.rows}
        intake.record_audit(
            by=self.by, now=timezone.now(), action="export", entity="export", entity_id=self.id,
            after=told | dict(seen), outcome=outcome,
        )  # fmt: skip
