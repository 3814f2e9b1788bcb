"""`manage.py import_shipments FILE`: import shipments from a CSV or XLSX, by the same rules as the API."""

import time
import uuid
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from exports.file_imports import columns, row_processing, table
from exports.file_imports.row_processing import CHUNK_ROWS, COUNTERS, DRY_RUN_CHUNK_ROWS, ChunkReader
from exports.file_imports.table import ImportTable
from monitoring import clock
from shipments import intake
from shipments.auth import subjects
from shipments.auth.subjects import Forbidden, Subject
from shipments.intake import RowResult
from shipments.parsing.query_parameters import InvalidFields
from shipments.selectors import accounts

_MAX_PRINTED_ROWS: Final = 20


class Command(BaseCommand):
    """Import a file in this process, without the relay: chunk by chunk, each one transaction."""

    help = "Book and amend shipments from a CSV or XLSX, idempotent by reference; exit status 1 if a row failed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV or XLSX; docs/imports.md lists the columns")
        parser.add_argument(
            "--organization", metavar="SLUG", help="the organisation; required where there are several"
        )
        parser.add_argument("--as", dest="email", metavar="EMAIL", help="act as this user (default: the system)")
        parser.add_argument("--dry-run", action="store_true", help="report what would happen and change nothing")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print one JSON line of counts to stdout; errors and warnings of the first 20 rows each to stderr."""
        started = time.monotonic()
        by = _subject(options["organization"], options["email"])
        import_table = _read_file(options["file"])
        try:
            by.require("shipments:write")
            counts = self._import_rows(import_table, by, options["file"].name, dry_run=options["dry_run"])
        except Forbidden as error:
            raise CommandError(str(error)) from None
        summary = {
            "command": "import_shipments", "file": options["file"].name, "dryRun": options["dry_run"],
            "rows": import_table.count, **counts, "seconds": round(time.monotonic() - started, 2),
        }  # fmt: skip
        self.stdout.write(orjson.dumps(summary).decode())
        if counts["failed"]:
            raise SystemExit(1)

    def _import_rows(
        self, import_table: ImportTable, by: Subject, filename: str, *, dry_run: bool
    ) -> dict[str, int]:
        column_map = columns.match_header(import_table.header)
        row_reader = ChunkReader(column_map, decimal_marks=import_table.decimal_marks)
        process_chunk, size = (
            (row_processing.dry_run_chunk, DRY_RUN_CHUNK_ROWS)
            if dry_run
            else (row_processing.apply_chunk, CHUNK_ROWS)
        )
        counts = dict.fromkeys(COUNTERS, 0)
        audit_trail = None if dry_run else _AuditTrail(by, import_table, filename)
        console = Console(stderr=True)
        bar_columns = (TextColumn("Import shipments"), BarColumn(), MofNCompleteColumn())
        with Progress(*bar_columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("", total=import_table.count)
            try:
                for chunk in row_reader.chunks(import_table.rows(), size):
                    for result in process_chunk(by=by, now=clock.compared_now(), chunk=chunk):
                        counts[result.outcome] += 1
                        counts["warned"] += bool(result.warnings)
                        if _is_printed(result, counts):
                            line = _format_problems(result, column_map)
                            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
                    bar.advance(task, len(chunk))
            except BaseException:
                if audit_trail:
                    audit_trail.end("failed", counts)
                raise
        if audit_trail:
            audit_trail.end("done", counts)
        return counts


class _AuditTrail:
    """Writes the audit entries of one run of the command: its start and its end."""

    def __init__(self, by: Subject, import_table: ImportTable, filename: str) -> None:
        self._by, self._id = by, uuid.uuid4()
        self._summary = {
            "filename": filename[:120],
            "format": import_table.kind,
            "rows": import_table.count,
            "sha256": import_table.sha256,
        }
        self._write("started", {})

    def end(self, outcome: str, counts: dict[str, int]) -> None:
        """Audit the outcome and the counts."""
        self._write(outcome, counts)

    def _write(self, outcome: str, counts: dict[str, int]) -> None:
        intake.record_audit(
            by=self._by, now=clock.compared_now(), action="import", entity="import", entity_id=self._id,
            after=self._summary | counts, outcome=outcome,
        )  # fmt: skip


def _is_printed(result: RowResult, counts: Mapping[str, int]) -> bool:
    """Tell whether a row is among the first that failed, or the first with warnings."""
    return (result.outcome == "failed" and counts["failed"] <= _MAX_PRINTED_ROWS) or (
        bool(result.warnings) and counts["warned"] <= _MAX_PRINTED_ROWS
    )


def _format_problems(result: RowResult, column_map: columns.ColumnMap) -> str:
    messages = [f"{each['column']}: {each['message']}" for each in column_map.errors(result.errors)]
    messages += [f"{each['column']}: warning: {each['message']}" for each in column_map.errors(result.warnings)]
    return f"row {result.row} ({result.reference or 'no reference'}): {'; '.join(messages)}"


def _subject(slug: str | None, email: str | None) -> Subject:
    """Return the subject of the import, a user or the system; raises CommandError."""
    organizations = accounts.organizations(slug)
    if email:
        user = accounts.get_user_by_email(email)
        subject = subjects.subject_of_user(user) if user else None
        if subject is None or (slug and subject.organization_id not in {each.pk for each in organizations}):
            raise CommandError(f"--as {email}: there is no such active member of the organisation.")
        return subject
    if len(organizations) != 1:
        raise CommandError(
            f"There is no organisation {slug}." if slug else "Name the organisation: --organization SLUG."
        )
    return subjects.system_subject(organizations[0].pk, name="manage.py import_shipments")


def _read_file(path: Path) -> ImportTable:
    """Parse the file and check its columns; raises CommandError."""
    try:
        with path.open("rb") as file:
            raw = file.read(settings.IMPORT_MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}.") from None
    if len(raw) > settings.IMPORT_MAX_BYTES:
        raise CommandError(f"{path} is larger than {settings.IMPORT_MAX_BYTES:,} bytes; IMPORT_MAX_MB allows more.")
    try:
        import_table = table.read(raw)
        columns.match_header(import_table.header)
    except InvalidFields as error:
        raise CommandError("; ".join(f"{each['field']}: {each['message']}" for each in error.errors)) from None
    return import_table
