"""How far work in the background is, as its rooms tell it; the newest is all that counts."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

from exports.models import Job
from shipments.auth.subjects import Subject
from shipments.selectors import async_pool

# A later state of the same attempt is newer however many rows were written.
_STAGE: Final = {
    Job.State.QUEUED: 0, Job.State.RUNNING: 1, Job.State.SUCCEEDED: 2, Job.State.FAILED: 2,
    Job.State.CANCELLED: 2, Job.State.EXPIRED: 3,
}  # fmt: skip


def version(*, attempt: int, state: str, done: int) -> int:
    """Return a number that grows with everything that happens to an order."""
    return (attempt * 10 + _STAGE[Job.State(state)]) * 10**12 + done


class ProgressReader:
    """One kind of work: its table, and the member by which a frame names an order."""

    def __init__(self, table: str, id_key: str) -> None:
        self._table, self._id_key = table, id_key

    def payload(self, job_id: uuid.UUID, *, state: str, done: int, total: int | None) -> dict[str, Any]:
        """Write how far an order is: `total` is None before it is counted."""
        return {self._id_key: str(job_id), "state": str(state), "done": done, "total": total}

    async def newest(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, dict[str, Any]]]:
        """Return how far these orders are, each with its version."""
        columns = "id, attempt, state, done, total"
        rows = await _rows(f"SELECT {columns} FROM {self._table} WHERE id = ANY(%s)", [list(keys)])
        return {
            job_id: (
                version(attempt=attempt, state=state, done=done),
                self.payload(job_id, state=state, done=done, total=total),
            )
            for job_id, attempt, state, done, total in rows
        }

    async def owned(self, viewer: Subject, keys: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Return those orders that are the viewer's own, as REST would show them."""
        rows = await _rows(
            f"SELECT id FROM {self._table} WHERE id = ANY(%s) AND organization_id = %s AND owner_id = %s",
            [list(keys), viewer.organization_id, viewer.user_id],
        )
        return {row[0] for row in rows}


EXPORTS: Final = ProgressReader("exports_export", "exportId")
IMPORTS: Final = ProgressReader("exports_import", "importId")


async def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    async with (await async_pool.get_pool()).connection() as connection:
        cursor = await connection.execute(sql.encode(), params)
        return await cursor.fetchall()
