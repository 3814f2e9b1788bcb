"""`manage.py verify_audit`: verifies the audit chains."""

from typing import Any

from django.core.management.base import BaseCommand

from shipments.services.feed import audit_chain


class Command(BaseCommand):
    """Verifies the chain of every organisation and that of the installation."""

    help = "Prove that no audit entry was changed, left out or put in; names the first broken link, exit status 1."

    def handle(self, *_: Any, **__: Any) -> None:
        """Print one line; exit with status 1 where a chain is broken."""
        links, broken = 0, []
        for result in audit_chain.verify():
            if isinstance(result, audit_chain.BrokenLink):
                broken.append(result)
            else:
                links += result
        for each in broken:
            self.stderr.write(
                self.style.ERROR(f"{each.organization}: link {each.n} (entry {each.entry_id}) {each.reason}.")
            )
        if broken:
            raise SystemExit(1)
        self.stdout.write(self.style.SUCCESS(f"The audit holds: {links} links, none broken."))
