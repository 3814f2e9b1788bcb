"""nginx's configuration: the file of deploy/ with the values of an installation in place of its tokens."""

import os
import re
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from freight.settings.environment import IPNetwork

TEMPLATE: Final = settings.BASE_DIR / "deploy" / "nginx" / "freight.conf"
_TOKEN: Final = re.compile(r"@([A-Z_]+)@")
_MAX_DESCRIPTORS: Final = 65_536


@dataclass(frozen=True)
class Certificate:
    """The files with which nginx ends TLS itself."""

    certificate: Path
    key: Path


def render(
    *,
    listen: str,
    run: Path,
    api: Sequence[Path],
    ws: Sequence[Path],
    static: Path,
    gateway: Path,
    user: str = "",
    tls: Certificate | None = None,
    balancer: Sequence[IPNetwork] = (),
) -> str:
    """Return the file with every token replaced.

    `user` runs the workers (default: root where we are root, so that they reach our sockets). `balancer` are the
    networks of what ends TLS in front of nginx: from there, and from nowhere else, the client's address and scheme
    are taken from X-Forwarded-For and X-Forwarded-Proto. Raises KeyError for an unknown token.
    """
    files = descriptors_per_worker()
    user = user or ("root" if os.geteuid() == 0 else "")
    values = {
        "USER": f"user {user};" if user else "",
        "WORKERS": str(worker_count()),
        "NOFILE": str(files),
        "CONNECTIONS": str(max(64, files - 64)),
        "RUN": str(run),
        "LISTEN": f"{listen} ssl" if tls else listen,
        "TLS": _tls_lines(tls),
        "BALANCER": _balancer_lines(balancer),
        "STATIC_ROOT": str(static),
        "GATEWAY_SOCKET": str(gateway),
        "API_SERVERS": _servers(api, backups=ws),
        "WS_SERVERS": _servers(ws, backups=api),
    }
    return _TOKEN.sub(lambda token: values[token[1]], TEMPLATE.read_text())


def descriptors_per_worker() -> int:
    """Return nginx's worker_rlimit_nofile: the hard limit of RLIMIT_NOFILE, at most 65,536.

    nginx allocates memory for every connection when it starts.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _MAX_DESCRIPTORS if limit == resource.RLIM_INFINITY else min(limit, _MAX_DESCRIPTORS)


def worker_count() -> int:
    """Return the number of nginx's worker processes."""
    return min(2, os.cpu_count() or 1)


def _tls_lines(tls: Certificate | None) -> str:
    if tls is None:
        return ""
    lines = (
        f"ssl_certificate {tls.certificate};",
        f"ssl_certificate_key {tls.key};",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "ssl_session_cache shared:tls:10m;",
    )
    return "\n        ".join(lines)


def _balancer_lines(networks: Sequence[IPNetwork]) -> str:
    """Return the lines that define $client_scheme, and with a balancer the client's address."""
    if not networks:
        return 'map "" $client_scheme {\n        default $scheme;\n    }'
    trusted = "\n        ".join(f"{network} 1;" for network in networks)
    schemes = 'default $scheme;\n        "1 https" https;\n        "1 http" http;'
    lines = [
        f"geo $realip_remote_addr $from_balancer {{\n        default 0;\n        {trusted}\n    }}",
        f'map "$from_balancer $http_x_forwarded_proto" $client_scheme {{\n        {schemes}\n    }}',
        *(f"set_real_ip_from {network};" for network in networks),
        "real_ip_header X-Forwarded-For;",
        "real_ip_recursive on;",
    ]
    return "\n    ".join(lines)


def _servers(sockets: Sequence[Path], *, backups: Sequence[Path]) -> str:
    """Return the `server` lines of an upstream: the processes of a role, those of the other role as backups."""
    own = [f"server unix:{path} max_fails=0;" for path in sockets]
    return "\n        ".join(own + [f"server unix:{path} max_fails=0 backup;" for path in backups])
