"""What a person sees while Freight starts, runs and stops."""

import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

_ACCOUNTS = (
    ("admin@demo.test", "staff, superuser"),
    ("dispatcher@demo.test", "dispatcher"),
    ("driver@demo.test", "driver"),
    ("customer@demo.test", "customer"),
    ("auditor@demo.test", "auditor"),
    ("dispatcher@rival.test", "dispatcher of the second organisation"),
)
_PASSWORD = "freight-demo"


class Terminal:
    """Lines with a tick and seconds; plain where nobody watches a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._unicode = "utf" in (self._console.encoding or "").lower()

    def done(self, what: str, since: float | None = None) -> None:
        """Say that a step is done, and how long it took since a `time.monotonic()`."""
        took = "" if since is None else f" [dim]{time.monotonic() - since:.1f} s[/dim]"
        self._console.print(f"[green]{'✓' if self._unicode else 'ok'}[/green] {what}{took}")

    def say(self, text: str) -> None:
        """Say something that needs no tick."""
        self._console.print(f"[yellow]{'•' if self._unicode else '-'}[/yellow] {text}")

    def failed(self, what: str, *, detail: str = "") -> None:
        """Say what failed, and show the last lines of why."""
        self._console.print(f"[red]{'✗' if self._unicode else 'failed:'}[/red] {what}")
        if detail:
            self._console.print(detail, style="dim", markup=False)

    def show_summary(self, *, url: str, home: Path, demo: bool, seconds: float) -> None:
        """Show the addresses and accounts."""
        grid = Table.grid(padding=(0, 2))
        for name, address in (
            ("Board", f"{url}/"),
            ("API", f"{url}/api/docs"),
            ("Admin", f"{url}/admin/"),
            ("Socket", f"{url.replace('http', 'ws', 1)}/ws/"),
            ("Health", f"{url}/api/health/ready"),
            ("Logs", str(home / "logs")),
        ):
            grid.add_row(f"[bold]{name}[/bold]", address)
        grid.add_row()
        if demo:
            for account, role in _ACCOUNTS:
                grid.add_row(account, f"[dim]{role}[/dim]")
            grid.add_row("[dim]password[/dim]", _PASSWORD)
        else:
            grid.add_row("[dim]accounts[/dim]", "python manage.py createsuperuser")
        title = f"Freight is ready, {seconds:.1f} s; Ctrl-C stops it"
        self._console.print(Panel(grid, title=title, expand=False, border_style="green"))
