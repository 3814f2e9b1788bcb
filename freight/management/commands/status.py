"""`manage.py status`: the installation on one page, from what its processes publish; nothing is changed."""

from collections.abc import Callable, Iterator
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor

from exports import queue_report
from exports.background import missing_files
from monitoring import clock
from monitoring.health import processes
from monitoring.prometheus import hosts, registrations, snapshots
from shipments.selectors import epoch

_MEGABYTE = 1024 * 1024


class Command(BaseCommand):
    """Prints one line for each process and dependency; exit status 1 where one is not as it should be."""

    help = "Show processes, database, Redis, queues and epoch on one page; exit status 1 where something is wrong."
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        """Print the page."""
        problems: list[str] = []
        self.stdout.write(f"Freight {settings.VERSION}")
        for title, lines in (("Processes", _process_lines), ("Database", _database_lines)):
            self.stdout.write(self.style.MIGRATE_HEADING(title))
            for line in lines(problems.append):
                self.stdout.write(f"  {line}")
        for problem in problems:
            self.stderr.write(self.style.ERROR(problem))
        if problems:
            raise SystemExit(1)


def _process_lines(note: Callable[[str], None]) -> Iterator[str]:
    """Yield a line for each process of every host that Redis knows of; without Redis of this host alone."""
    try:
        statuses = [status for host in hosts.read_hosts() for status in host.processes]
    except (redis.RedisError, OSError) as error:
        note(f"Redis at REDIS_URL does not answer ({type(error).__name__}): only this host's processes are shown.")
        statuses = snapshots.local_statuses()
    running: dict[str, int] = {}
    for status in statuses:
        role = registrations.role_of(status["process"])
        hung = processes.is_hung(status)
        running[role] = running.get(role, 0) + (not hung)
        if hung:
            note(f"{status['process']} on {status['host']} hangs: silent for {status['heartbeatAge']:.0f} s.")
        memory = status.get("performance", {}).get("rss", 0) / _MEGABYTE
        yield (
            f"{status['process']:<12} {status['host']:<20} pid {status['pid']:<8} {memory:6.0f} MB"
            f"  heard {status['heartbeatAge']:.1f} s ago"
        )
    for role, expected in processes.expected_processes().items():
        if running.get(role, 0) < expected:
            note(f"{role}: {running.get(role, 0) or 'none'} of {expected} runs.")


def _database_lines(note: Callable[[str], None]) -> Iterator[str]:
    """Yield version and size, the migrations, the epoch, the clock, the queues and the files."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version'), pg_size_pretty(pg_database_size(current_database()))"
            )
            version, size = cursor.fetchone()
        yield f"PostgreSQL {version}"
        yield f"size         {size}"
        executor = MigrationExecutor(connection)
        pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        yield f"migrations   {f'{pending} pending' if pending else 'all applied'}"
        if pending:
            note(f"{pending} migrations are pending: run manage.py migrate.")
            return
        clock.refresh()
        yield f"epoch        {epoch.read()}"
        yield f"clock        {clock.skew():+.1f} s from the database's"
        for kind, queue in queue_report.read_queues().items():
            yield (
                f"{kind:<12} {queue['queued']} queued, the oldest for {queue['oldestQueuedSeconds']:.0f} s,"
                f" {queue['running']} running"
            )
        if missing := missing_files.count():
            note(f"{missing_files.describe(missing)}.")
    except (DatabaseError, InterfaceError) as error:
        note(f"PostgreSQL at DATABASE_URL does not answer: {str(error).strip().splitlines()[0]}")
