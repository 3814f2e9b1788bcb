"""How far background exports are, as their rooms tell it; the newest is all that counts."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

from exports.models import Export
from shipments.access import Subject
from shipments.selectors import live

# A later state of the same attempt is newer however many rows were written.
_STAGE: Final = {
    Export.State.QUEUED: 0, Export.State.RUNNING: 1, Export.State.SUCCEEDED: 2, Export.State.FAILED: 2,
    Export.State.CANCELLED: 2, Export.State.EXPIRED: 3,
}  # fmt: skip


def version(*, attempt: int, state: str, done: int) -> int:
    """This will return a number that grows with everything that happens to an export."""
    return (attempt * 10 + _STAGE[Export.State(state)]) * 10**12 + done


def value(*, export_id: uuid.UUID, state: str, done: int, total: int | None) -> dict[str, Any]:
    """This will write how far an export is: `total` is None before it is counted."""
    return {"exportId": str(export_id), "state": str(state), "done": done, "total": total}


async def newest(keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, dict[str, Any]]]:
    """This will return how far these exports are, each with its version."""
    columns = "id, attempt, state, done, total"
    rows = await _rows(f"SELECT {columns} FROM exports_export WHERE id = ANY(%s)", [list(keys)])  # noqa: S608
    return {
        export_id: (
            version(attempt=attempt, state=state, done=done),
            value(export_id=export_id, state=state, done=done, total=total),
        )
        for export_id, attempt, state, done, total in rows
    }


async def owned(viewer: Subject, keys: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """This will return those exports that are the viewer's own, as REST would show them."""
    found = await _rows(
        "SELECT id FROM exports_export WHERE id = ANY(%s) AND organization_id = %s AND owner_id = %s",
        [list(keys), viewer.organization_id, viewer.user_id],
    )
    return {row[0] for row in found}


async def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    async with (await live.pool()).connection() as connection:
        cursor = await connection.execute(sql.encode(), params)
        return await cursor.fetchall()
