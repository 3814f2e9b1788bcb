"""Terminal output of `up` while it starts, runs and stops."""

import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from shipments.demo.accounts import ACCOUNTS, PASSWORD


class Terminal:
    """Prints progress lines with a mark and seconds; without colours where standard output is no terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._unicode = "utf" in (self._console.encoding or "").lower()

    def done(self, what: str, since: float | None = None) -> None:
        """Print that a step is done, and the seconds since `since`, a `time.monotonic()`."""
        took = "" if since is None else f" [dim]{time.monotonic() - since:.1f} s[/dim]"
        self._console.print(f"[green]{'✓' if self._unicode else 'ok'}[/green] {what}{took}")

    def say(self, text: str) -> None:
        """Print a notice."""
        self._console.print(f"[yellow]{'•' if self._unicode else '-'}[/yellow] {text}")

    def failed(self, what: str, *, detail: str = "") -> None:
        """Print what failed, and the last lines of its log."""
        self._console.print(f"[red]{'✗' if self._unicode else 'failed:'}[/red] {what}")
        if detail:
            self._console.print(detail, style="dim", markup=False)

    def show_summary(self, *, url: str, home: Path, demo: bool, seconds: float) -> None:
        """Print the URLs, and under DEMO the accounts."""
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
            for account in ACCOUNTS:
                grid.add_row(account.email, f"[dim]{account.title}: {account.summary}[/dim]")
            grid.add_row("[dim]password[/dim]", PASSWORD)
        else:
            grid.add_row("[dim]accounts[/dim]", "python manage.py createsuperuser")
        title = f"Freight is ready, {seconds:.1f} s; Ctrl-C stops it"
        self._console.print(Panel(grid, title=title, expand=False, border_style="green"))
