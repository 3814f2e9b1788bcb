"""What a process of the product is started with: the checkout, a port, a database, limits that never apply."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from freight.embedded.layout import Layout

ROOT: Final = Path(__file__).resolve().parents[3]
UNLIMITED: Final = "10000000"
# The databases of test runs and benchmarks, which stand beside the real one on whatever server.
_OWN_NAMES: Final = ("test_", "bench_")
_END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# The sockets of the PostgreSQL servers that this process has started.
_own_sockets: Final[set[str]] = set()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """Return the URL of the database of Django's settings (in a test, the test database) for another process."""
    from django.conf import settings  # a benchmark sets variables before the settings are read

    database = settings.DATABASES["default"]
    host, port = quote(database["HOST"], safe=""), database["PORT"]
    return f"postgresql://{database['USER']}@/{database['NAME']}?host={host}" + (f"&port={port}" if port else "")


def own_server(layout: Layout) -> None:
    """Remember that this process starts the PostgreSQL of a home: what a drill writes there is nobody's."""
    _own_sockets.add(str(layout.sockets))


def require_own_database() -> None:
    """Raise RuntimeError where Django's settings name a database that is neither a drill's nor a test's own.

    A drill writes organisations, accounts and shipments, and the log of none of them can be deleted.
    """
    from django.conf import settings  # a benchmark sets variables before the settings are read

    database = settings.DATABASES["default"]
    if database["HOST"] not in _own_sockets and not str(database["NAME"]).startswith(_OWN_NAMES):
        raise RuntimeError(
            f"The drill was not run: the database {database['NAME']!r} is not its own, and what it writes cannot"
            " be deleted. Start it by `manage.py drill`, which gives it one."
        )


def blank_product_variables() -> dict[str, str]:
    """Return every variable of the product, empty, which means unset: nothing of an installation gets through."""
    from freight.settings import environment  # importing it reads the settings

    return dict.fromkeys(environment.variables, "")


def unlimited(*limits: str) -> dict[str, str]:
    """Return the variables that lift rate limits: `general_max` is RATE_LIMIT_GENERAL_MAX."""
    return {f"RATE_LIMIT_{limit.upper()}": UNLIMITED for limit in limits}


@contextlib.contextmanager
def starting_process() -> Iterator[None]:
    """Keep SIGINT and SIGTERM until the block is left: whoever is asked to end knows every process it has started.

    Raises RuntimeError outside the main thread: what dies with its parent dies with the thread that started it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Processes are started from the main thread.")
    kept: list[int] = []
    handlers = {signum: signal.signal(signum, lambda number, _: kept.append(number)) for signum in _END_SIGNALS}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        for number in kept:
            signal.raise_signal(number)
