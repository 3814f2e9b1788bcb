"""`manage.py verify_audit`: verifies the audit chains."""

import time
from typing import Any

import orjson
from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shipments.models import AuditLink
from shipments.services.feed import audit_chain


class Command(BaseCommand):
    """Verifies the chain of every organisation and that of the installation."""

    help = "Prove that no audit entry was changed, left out or put in; names the first broken link, exit status 1."

    def handle(self, *_: Any, **__: Any) -> None:
        """Print a sentence on a terminal, else a line of JSON; exit with status 1 where a chain is broken."""
        started = time.monotonic()
        links, broken = self._verify()
        for each in broken:
            self.stderr.write(
                self.style.ERROR(f"{each.organization}: link {each.n} (entry {each.entry_id}) {each.reason}.")
            )
        if not self.stdout.isatty():
            report = {
                "command": "verify_audit", "holds": not broken, "links": links,
                "broken": [
                    {"organization": each.organization, "link": each.n, "reason": each.reason} for each in broken
                ],
                "seconds": round(time.monotonic() - started, 2),
            }  # fmt: skip
            self.stdout.write(orjson.dumps(report).decode())
        elif not broken:
            self.stdout.write(self.style.SUCCESS(f"The audit holds: {links} links, none broken."))
        if broken:
            raise SystemExit(1)

    def _verify(self) -> tuple[int, list[audit_chain.BrokenLink]]:
        """Return the number of links of the chains that hold, and the broken links; shows a bar on a terminal."""
        links, broken = 0, []
        console = Console(stderr=True)
        columns = (TextColumn("Audit"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("", total=AuditLink.objects.count() if console.is_terminal else None)
            for result in audit_chain.verify(lambda done: bar.advance(task, done)):
                if isinstance(result, audit_chain.BrokenLink):
                    broken.append(result)
                else:
                    links += result
        return links, broken
