"""Pytest plugin: real PostgreSQL and Valkey for every test, started once, in a temporary FREIGHT_HOME.

They start when the module is imported (`addopts = -p tests.backing_services`), before the settings are read. The
workers of pytest-xdist inherit the environment and start nothing. `DATABASE_URL` and `REDIS_URL` come first.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest

from freight import embedded

_services: embedded.RunningServices | None = None
_home: Path | None = None


def _start() -> None:
    global _services, _home
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        os.environ["METRICS_DIR"] = str(Path(os.environ["FREIGHT_HOME"]) / f"metrics-{worker}")
        # pytest-django gives each worker a database of its own; Valkey has numbered ones (0 is the controller's).
        if not os.environ.get("REDIS_URL"):
            url = embedded.endpoints(Path(os.environ["FREIGHT_HOME"])).redis_url
            os.environ["REDIS_URL"] = url.replace("db=0", f"db={int(worker.removeprefix('gw')) + 1}")
        return
    _home = Path(tempfile.mkdtemp(prefix="freight-test-"))
    os.environ["FREIGHT_HOME"] = str(_home)
    os.environ["METRICS_DIR"] = str(_home / "metrics")
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    os.environ.setdefault("DEMO", "0")
    # All tests share one address; tests of limits set their own.
    for policy in ("GENERAL", "EXPORT", "WS_CONNECT"):
        os.environ.setdefault(f"RATE_LIMIT_{policy}_MAX", "1000000")
    postgres, valkey = (not os.environ.get(name) for name in ("DATABASE_URL", "REDIS_URL"))
    atexit.register(_stop)
    if postgres or valkey:
        # Without fsync: the kernel's cache survives a killed server.
        _services = embedded.start(_home, postgres=postgres, valkey=valkey, durable=False)
        _services.wait_ready()


def _stop() -> None:
    global _services, _home
    if _services is not None:
        _services.stop()
        _services = None
    if _home is not None:
        shutil.rmtree(_home, ignore_errors=True)
        _home = None


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Stop the services, also after Ctrl-C."""
    _stop()


_start()
