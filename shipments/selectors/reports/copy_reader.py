"""Reads of whole tables for reports: blocks of lines from a COPY, and their count in the same snapshot.

Everything here blocks and belongs in a thread: reading a COPY on an event loop takes two and a half times as much
processor time (docs/decisions/0018).
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Literal

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import OperationalError
from psycopg import ClientCursor, sql

from shipments.selectors.reports import snapshot_pool
from shipments.selectors.reports.cells import Cell
from shipments.selectors.reports.snapshot_pool import Connection

CopyFormat = Literal["csv", "json"]
BLOCK_BYTES: Final = 64 * 1024
_CANCEL_SECONDS: Final = 2.0
# JSON text holds no control characters: with these as delimiter and quote, COPY changes nothing in it.
_COPY_OPTIONS: Final[Mapping[str, str]] = {
    "csv": "FORMAT csv, ENCODING 'UTF8'",
    "json": "FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02', ENCODING 'UTF8'",
}
_Statement = tuple[str, tuple[Any, ...]]


def open_reader(rows: Any, cells: Mapping[str, Cell], copy_format: CopyFormat) -> "CopyReader":
    """Open a reader of a queryset's rows, each a line of CSV or a JSON object with the cells' names.

    The reader holds a connection until it is read to its end or closed. Raises OperationalError where the database
    does not answer.
    """
    expressions = cells.values() if copy_format == "csv" else [cell.as_raw() for cell in cells.values()]
    countable = rows if rows.query.is_sliced else rows.order_by()
    try:
        lines, keys = _compile(rows.values_list(*expressions)), _compile(countable.values_list("pk"))
    except EmptyResultSet:
        return CopyReader()  # no query needed: a viewer who sees nothing
    try:
        connection = snapshot_pool.pool.acquire()
        try:
            return _start_reader(connection, lines, keys, list(cells), copy_format)
        except BaseException:
            connection.close()
            raise
    except psycopg.OperationalError as error:
        raise OperationalError(*error.args) from error  # Django's exception, which callers expect


class CopyReader:
    """Rows of one snapshot, `count` of them: iterate `blocks()` once, and `close()` in any case."""

    def __init__(self, connection: Connection | None = None, *, copy: str = "", count: int = 0) -> None:
        self.count = count
        self.rows_read = 0
        self.cancelled = threading.Event()
        self._connection = connection
        self._copy = copy

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines in blocks of at most BLOCK_BYTES; a longer line is a block of its own.

        Raises psycopg.Error where the COPY breaks off.
        """
        if self._connection is None:
            return
        block: list[bytes] = []
        size = 0
        with self._connection.cursor() as cursor, cursor.copy(self._copy.encode()) as lines:
            for line in lines:
                length = len(line)
                if size + length > BLOCK_BYTES and block:
                    yield b"".join(block)
                    block, size = [], 0
                block.append(bytes(line))
                size += length
                self.rows_read += 1
        if block:
            yield b"".join(block)

    def cancel(self) -> None:
        """Cancel the COPY on the server, from another thread than the reader's; blocks for up to 2 s."""
        self.cancelled.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_CANCEL_SECONDS)

    def close(self) -> None:
        """End the snapshot; may be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # In this order: a late `cancel` finds no connection, or one that will not be used again.
            snapshot_pool.pool.release(connection, reusable=not self.cancelled.is_set())


def _compile(queryset: Any) -> _Statement:
    statement, params = queryset.query.sql_with_params()
    return statement, params


def _start_reader(
    connection: Connection, lines: _Statement, keys: _Statement, names: list[str], copy_format: CopyFormat
) -> CopyReader:
    # COPY takes no parameters: the client quotes the values into the text.
    writer = ClientCursor(connection)
    count_sql = writer.mogrify(
        f"SELECT count(*) FROM ({keys[0]}) AS counted".encode(),  # noqa: S608  the ORM's SQL
        keys[1],
    )
    [(count,)] = connection.execute(count_sql.encode()).fetchall()
    copy_sql = writer.mogrify(lines[0].encode(), lines[1])
    if copy_format == "json":
        columns = sql.SQL(", ").join(map(sql.Identifier, names)).as_string(connection)
        copy_sql = f"SELECT row_to_json(line) FROM ({copy_sql}) AS line({columns})"  # noqa: S608  quoted above
    return CopyReader(
        connection, copy=f"COPY ({copy_sql}) TO STDOUT WITH ({_COPY_OPTIONS[copy_format]})", count=count
    )
