"""`manage.py blockers`: who waits for whose lock in PostgreSQL."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring.queries import blockers


class Command(BaseCommand):
    """Lists the sessions that wait for a lock and those that hold it, or ends one that holds it."""

    help = "List who waits for whose lock, the longest wait first: process id, application, statement, since when."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the option."""
        parser.add_argument(
            "--end", type=int, metavar="PID", help="end this blocker's session; its transaction is rolled back"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Print two lines for each wait; raises CommandError where the session to end blocks nobody."""
        if options["end"] is not None:
            self._end(options["end"])
            return
        waits = blockers.lock_waits()
        if not waits:
            self.stdout.write("Nobody waits for a lock.")
        for wait in waits:
            since = (wait.at - timedelta(seconds=wait.seconds)).isoformat(timespec="seconds")
            self.stdout.write(
                f"{wait.waiting.pid} ({wait.waiting.application}) waits for {wait.blocking.pid}"
                f" ({wait.blocking.application}) since {since.replace('+00:00', 'Z')}, {wait.seconds:.1f} s\n"
                f"  waits: {wait.waiting.statement}\n"
                f"  holds: {wait.blocking.statement} [{wait.state}, transaction open for {wait.open_seconds:.1f} s]"
            )

    def _end(self, pid: int) -> None:
        if not blockers.end_blocker(pid):
            raise CommandError(f"The session {pid} was not ended: nobody waits for it now.")
        self.stdout.write(f"Ended the session {pid}; its transaction is rolled back.")
