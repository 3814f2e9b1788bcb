"""`manage.py nginx_conf`: nginx accepts what it prints, and only a balancer says how a client came."""

import subprocess
import threading
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from freight.supervisor import proxy
from tests.drills.harness.environment import free_port
from tests.drills.harness.nginx import Nginx
from tests.journeys.operations.test_nginx import EchoServer

pytestmark = pytest.mark.journey


def _print(**options: object) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("nginx_conf", stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def _accepts(configuration: str, folder: Path) -> None:
    (folder / "run").mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(configuration)
    result = subprocess.run(
        [proxy.nginx_program(), "-t", "-p", folder, "-c", folder / "nginx.conf"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_nginx_accepts_it_with_tls_and_the_sockets_of_the_processes(tmp_path: Path, settings: Settings) -> None:
    settings.API_PROCESSES, settings.WS_PROCESSES, settings.HTTPS = 2, 1, True
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=freight.test", "-days", "1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip

    configuration, warning = _print(
        listen=f"127.0.0.1:{free_port()}", sockets=tmp_path, run=tmp_path / "run", certificate=certificate, key=key
    )

    assert warning == ""
    assert "@" not in configuration.replace("location @", "").replace(" @", "")
    for name in ("api-1", "api-2", "ws-1"):
        assert f"server unix:{tmp_path}/{name}.sock max_fails=0;" in configuration
    assert f"ssl_certificate {certificate};" in configuration
    _accepts(configuration, tmp_path)


def test_it_names_what_would_redirect_for_ever(settings: Settings) -> None:
    settings.HTTPS = True

    assert "nothing here ends TLS" in _print()[1]
    assert _print(balancer=["10.0.0.0/8"])[1] == ""
    with pytest.raises(CommandError, match="give a network such as"):
        _print(balancer=["10.0.0.0/33"])
    with pytest.raises(CommandError, match="Give both"):
        _print(key=Path("key.pem"))


@pytest.mark.parametrize(("balancer", "scheme", "address"), [
    (["127.0.0.0/8"], "https", "198.51.100.7"), (["10.0.0.0/8"], "http", "127.0.0.1"), ([], "http", "127.0.0.1"),
])  # fmt: skip
def test_only_a_balancer_says_how_a_client_came(
    tmp_path: Path, balancer: list[str], scheme: str, address: str
) -> None:
    with EchoServer(tmp_path / "api.sock", "api") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sockets = [tmp_path / "api.sock"]
        (tmp_path / "static").mkdir()
        with Nginx(
            tmp_path / "nginx", port=free_port(), static=tmp_path / "static", api=sockets, ws=sockets,
            balancer=balancer,
        ) as nginx:  # fmt: skip
            nginx.wait_listening("/api/shipments", seconds=20)
            headers = httpx.get(
                f"{nginx.url}/api/shipments",
                headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9, 198.51.100.7"},
            ).json()["headers"]
        server.shutdown()

    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-For"]) == (scheme, address)
