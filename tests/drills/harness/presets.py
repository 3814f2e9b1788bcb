"""The stages that there are, each with the environment that its users rely on.

No pytest here, and no setting is read before a preset is called: drills and benchmarks use them, too.
"""

import contextlib
import os
import resource
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.drills.harness.backing_services import BackingServices
from tests.drills.harness.environment import (
    ROOT,
    blank_product_variables,
    database_url,
    free_port,
    require_own_database,
    unlimited,
)
from tests.drills.harness.nginx import Nginx
from tests.drills.harness.process import (
    MANAGE,
    ForkLauncher,
    Launcher,
    ProductProcess,
    Role,
    SpawnLauncher,
    api,
    everything,
    relay,
    ws,
)
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage

# The most sessions of a process of a fault stage with PostgreSQL.
POOL_SIZE: Final = 10
# All workers of a test run share one PostgreSQL.
_SHARED_POOL_SIZE: Final = 6
_COASTLINES: Final = '{"land":[[[-9,43],[3,51],[14,54],[12,45],[-9,37]]],"borders":[],"attribution":"Test"}'


@contextlib.contextmanager
def fault_stage() -> Iterator[ProductStage]:
    """Run two api and two ws Daphnes, a relay and nginx on a private, seeded PostgreSQL and a private Valkey.

    Everything may be killed and frozen. The folder is a temporary one and goes with the stage.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    home = Path(os.path.realpath(tempfile.mkdtemp(prefix="freight-drill-")))
    try:
        with _fault_stage(home) as stage:
            yield stage
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _fault_stage(home: Path) -> ProductStage:
    backing = BackingServices(home)
    product_home, static = home / "disk", home / "static"
    product_home.mkdir()
    # What a page needs to follow a shipment.
    shutil.copytree(ROOT / "realtime" / "static", static)
    sockets = {name: backing.sockets / f"{name}.sock" for name in (*API_ROLES, *WS_ROLES)}
    nginx = Nginx(
        home / "nginx", port=free_port(), static=static,
        api=[sockets[name] for name in API_ROLES], ws=[sockets[name] for name in WS_ROLES],
        gateway=backing.sockets / "gateway.sock",
    )  # fmt: skip
    environment = blank_product_variables() | {
        # The product's own home, which holds nothing here: a disk may be attached there.
        "FREIGHT_HOME": str(product_home), "METRICS_DIR": str(home / "metrics"),
        "DATABASE_URL": backing.endpoints.database_url, "REDIS_URL": backing.endpoints.redis_url,
        "SECRET_KEY": secrets.token_urlsafe(48), "DJANGO_SETTINGS_MODULE": "freight.settings",
        "DEMO": "0", "DEBUG": "0", "HTTPS": "0", "LOG_LEVEL": "INFO", "PORT": str(nginx.port),
        "DATABASE_POOL_SIZE": str(POOL_SIZE), "RATE_LIMIT_WHITELIST": "", "WS_CORS_ORIGINS": nginx.url,
        "GATEWAY_SOCKET": str(backing.sockets / "gateway.sock"), "EXPECTED_PROCESSES": "api=2,ws=2,relay=1",
        # A drill sends more than any client; the limiter's way through Redis stays in use.
        **unlimited("general_max", "ws_connect_max", "sockets_per_user", "sockets_per_address"),
    }  # fmt: skip
    roles = [
        *(api(number, unix=sockets[name]) for number, name in enumerate(API_ROLES, 1)),
        *(ws(number, unix=sockets[name]) for number, name in enumerate(WS_ROLES, 1)),
        relay(),
    ]
    launcher = ForkLauncher(environment, log=home / "logs" / "fork-server.log")
    return ProductStage(
        home, roles, environment=environment, launcher=launcher, backing=backing, nginx=nginx, seed=True
    )


def journey_stage(folder: Path, roles: Sequence[Role] | None = None, **environment: str) -> ProductStage:
    """Return one api and two ws Daphnes, or other roles, on the test's database and Redis; nothing is started yet.

    `environment` comes on top of what all journeys have.
    """
    roles = roles or [api(), ws(1), ws(2)]
    common = {
        "DATABASE_URL": database_url(),
        "DATABASE_POOL_SIZE": str(_SHARED_POOL_SIZE),
        "METRICS_DIR": str(folder / "metrics"),
        "HTTPS": "0",
        # Other tests fail to log in from this address, too.
        "RATE_LIMIT_AUTH_MAX": "100000",
        "RATE_LIMIT_WS_CONNECT_MAX": "100000",
        "RATE_LIMIT_SOCKETS_PER_ADDRESS": "100000",
        # The pages of these tests come from the first Daphne itself.
        "WS_CORS_ORIGINS": f"http://127.0.0.1:{roles[0].address}",
    }
    return bare_stage(folder, roles, common | environment)


def bare_stage(
    folder: Path, roles: Sequence[Role], environment: Mapping[str, str], *, backing: BackingServices | None = None
) -> ProductStage:
    """Return roles that are started cold, with the environment of this process and the one given."""
    return ProductStage(
        folder, roles, environment=environment, launcher=SpawnLauncher(environment), backing=backing
    )


@contextlib.contextmanager
def page_stage() -> Iterator[ProductStage]:
    """Run one Daphne that serves everything behind nginx, on the test's database, with the pages' static files."""
    from django.conf import settings  # a benchmark sets variables before the settings are read

    # The path of a unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fb-"))
    daphne = everything(unix=folder / "daphne")
    nginx = Nginx(
        folder / "nginx", port=free_port(), api=[folder / "daphne"], ws=[folder / "daphne"],
        static=settings.STATIC_ROOT,
    )  # fmt: skip
    environment = {
        "DATABASE_URL": database_url(),
        "DATABASE_POOL_SIZE": str(_SHARED_POOL_SIZE),
        "PORT": str(nginx.port),
        "DEMO": "1",  # the login page lists the demo's accounts
        "HTTPS": "0",
        "WS_CORS_ORIGINS": nginx.url,
    }
    stage = ProductStage(
        folder, [daphne], environment=environment, launcher=SpawnLauncher(environment), nginx=nginx
    )
    try:
        _prepare_pages()
        with stage:
            nginx.wait_listening("/login")
            yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare_pages() -> None:
    """Collect the static files, and write coastlines that are small."""
    from django.conf import settings
    from django.core.management import call_command

    coastlines = settings.FREIGHT_HOME / "build" / "map" / "world.json"
    coastlines.parent.mkdir(parents=True, exist_ok=True)
    coastlines.write_text(_COASTLINES)
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["admin", "drf_*"])


@contextlib.contextmanager
def bench_stage(*roles: Role) -> Iterator[ProductStage]:
    """Run roles on the benchmark's database."""
    with (
        tempfile.TemporaryDirectory(prefix="freight-bench-") as folder,
        bare_stage(Path(folder), roles, {"DATABASE_URL": database_url()}) as stage,
    ):
        yield stage


@contextlib.contextmanager
def bench_server() -> Iterator[ProductProcess]:
    """Run one api Daphne on the benchmark's database."""
    with bench_stage(api()) as stage:
        yield stage.api


@contextlib.contextmanager
def settings_stage(
    drill: str, *roles: Role, fork: bool, command_prefix: Sequence[str] = MANAGE, **environment: str
) -> Iterator[ProductStage]:
    """Run roles on the database and Redis of this process' settings: a drill's own (`own_services.py`) or a test's.

    `drill` is part of the temporary folder's name. `fork`: from a fork server, else cold by `command_prefix`.
    Raises RuntimeError where the database is an installation's.
    """
    require_own_database()
    with tempfile.TemporaryDirectory(prefix=f"freight-{drill}-") as name:
        folder = Path(name)
        environment = {"METRICS_DIR": str(folder / "metrics")} | environment
        launcher: Launcher = SpawnLauncher(environment, command_prefix=command_prefix)
        if fork:
            launcher = ForkLauncher(environment, log=folder / "logs" / "fork-server.log")
        with ProductStage(folder, roles, environment=environment, launcher=launcher) as stage:
            yield stage
