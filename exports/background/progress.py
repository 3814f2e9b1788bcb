"""Progress of background jobs, as their WebSocket rooms publish it: the latest value wins."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

from exports.models import Job
from shipments.auth.subjects import Subject
from shipments.selectors import async_pool

# Orders the states within one attempt, whatever the number of rows.
_STAGE: Final = {
    Job.State.QUEUED: 0, Job.State.RUNNING: 1, Job.State.SUCCEEDED: 2, Job.State.FAILED: 2,
    Job.State.CANCELLED: 2, Job.State.EXPIRED: 3,
}  # fmt: skip


def version(*, attempt: int, state: str, done: int) -> int:
    """Return a number that grows with each attempt, state and row of a job; `done` must be below 10**12."""
    return (attempt * 10 + _STAGE[Job.State(state)]) * 10**12 + done


class ProgressReader:
    """Reads the progress of one type of job; `id_key` is the key of the job's id in a payload."""

    def __init__(self, table: str, id_key: str) -> None:
        self._table, self._id_key = table, id_key

    def payload(self, job_id: uuid.UUID, *, state: str, done: int, total: int | None) -> dict[str, Any]:
        """Return the payload of a frame; `total` is None before the rows are counted."""
        return {self._id_key: str(job_id), "state": str(state), "done": done, "total": total}

    async def newest(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, dict[str, Any]]]:
        """Return `(version, payload)` of these jobs by id; missing jobs are left out."""
        columns = "id, attempt, state, done, total"
        sql = f"SELECT {columns} FROM {self._table} WHERE id = ANY(%s)"  # noqa: S608  the names are constants
        rows = await _rows(sql, [list(keys)])
        return {
            job_id: (
                version(attempt=attempt, state=state, done=done),
                self.payload(job_id, state=state, done=done, total=total),
            )
            for job_id, attempt, state, done, total in rows
        }

    async def owned(self, viewer: Subject, keys: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Return the ids among `keys` that are the viewer's own jobs: the same rule as in REST."""
        condition = "id = ANY(%s) AND organization_id = %s AND owner_id = %s"
        sql = f"SELECT id FROM {self._table} WHERE {condition}"  # noqa: S608  the names are constants
        rows = await _rows(sql, [list(keys), viewer.organization_id, viewer.user_id])
        return {row[0] for row in rows}


EXPORTS: Final = ProgressReader("exports_export", "exportId")
IMPORTS: Final = ProgressReader("exports_import", "importId")


async def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    async with (await async_pool.get_pool()).connection() as connection:
        cursor = await connection.execute(sql.encode(), params)
        return await cursor.fetchall()
