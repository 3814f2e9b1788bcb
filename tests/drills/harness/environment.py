"""What a process of the product is started with: the checkout, a port, a database, limits that never apply."""

import socket
import threading
from pathlib import Path
from typing import Final
from urllib.parse import quote

ROOT: Final = Path(__file__).resolve().parents[3]
UNLIMITED: Final = "10000000"


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


def unlimited(*limits: str) -> dict[str, str]:
    """Return the variables that lift rate limits: `general_max` is RATE_LIMIT_GENERAL_MAX."""
    return {f"RATE_LIMIT_{limit.upper()}": UNLIMITED for limit in limits}


def require_main_thread() -> None:
    """Raise RuntimeError in any other thread: what dies with its parent dies with the thread that started it."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Processes are started from the main thread.")
