"""No log of nginx or a process has a query string, a secret of a path or a header of any kind of request."""

import socket
from typing import Final

import httpx
import pytest
from asgiref.sync import sync_to_async

from monitoring import clock
from shipments.services.accounts import api_keys
from tests import factories
from tests.drills.harness.product_stage import ProductStage

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("committed")]
SECRET: Final = "ZQPLANTED"
_HEADERS: Final = {"Referer": f"https://other.example/{SECRET}?{SECRET}", "User-Agent": SECRET}
_KEY: Final = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
_UPGRADE: Final = f"Upgrade: websocket\r\nConnection: Upgrade\r\n{_KEY}"


def _send_raw(stage: ProductStage, request: str, *, abort: bool = False) -> bytes:
    """Return the first bytes of the answer to a request, none where the client goes away at once."""
    with socket.create_connection(("127.0.0.1", stage.port), timeout=20) as connection:
        connection.sendall(request.encode("latin1"))
        return b"" if abort else connection.recv(64)


def _ask(stage: ProductStage) -> dict[str, int]:
    """Send one request of each kind, each with the secret wherever it can stand; return the statuses."""
    query = f"?token={SECRET}&q={SECRET}"
    by = factories.member(factories.organization(), "dispatcher")
    _, key = api_keys.create(
        by=by, now=clock.now(), name="x", scopes=["shipments:read", "shipments:write"], expires_at=None
    )
    bearer = {"Authorization": f"Bearer {key}"}
    json = {"Content-Type": "application/json"}
    head = f"Host: 127.0.0.1:{stage.port}\r\nReferer: https://other.example/?{SECRET}\r\nUser-Agent: {SECRET}\r\n"
    with httpx.Client(base_url=stage.url, headers=_HEADERS, timeout=20) as http:
        answers = {
            "200": http.get(f"/api/shipments?q={SECRET}", headers=bearer),
            "304": http.get(
                f"/static/freight/base.css{query}",
                headers={"If-Modified-Since": http.get("/static/freight/base.css").headers["Last-Modified"]},
            ),
            "400": http.get(f"/api/shipments{query}", headers=bearer),
            "400 host": http.get(f"/api/shipments{query}", headers={"Host": "evil.example"}),
            "401": http.get(f"/api/shipments{query}", headers={"Authorization": f"Bearer {SECRET}"}),
            "403": http.post(f"/login{query}", data={"email": SECRET, "password": SECRET}),
            "404": http.get(f"/track/{SECRET}{query}"),
            "405": http.put(f"/api/events{query}", headers=bearer),
            "413": http.post(f"/api/shipments{query}", headers=bearer | json, content=b" " * 1_100_000),
            "414": http.get("/" + SECRET * 4000),
            "stream 404": http.get(f"/api/shipments/{SECRET}/stream", headers=bearer),
            "stream 400": http.get(f"/api/events/stream{query}", headers=bearer),
        }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    raw = {
        "404 method": f"{SECRET} /api/nothing{query} HTTP/1.1\r\n{head}\r\n",
        "stream 200": (
            f"GET /api/events/stream?lastEventId={SECRET}:1 HTTP/1.1\r\n{head}Authorization: Bearer {key}\r\n\r\n"
        ),
        "socket 101": f"GET /ws{query} HTTP/1.1\r\n{head}{_UPGRADE}\r\n",
        "socket 403": f"GET /ws{query} HTTP/1.1\r\n{head}{_UPGRADE}Origin: https://evil.example\r\n\r\n",
        "socket 400": f"GET /ws{query} HTTP/1.1\r\n{head}{_UPGRADE.replace('nonce', '')}\r\n".replace("==", ""),
    }
    statuses |= {name: int(_send_raw(stage, text).split()[1]) for name, text in raw.items()}
    _send_raw(stage, f"POST /api/auth/login{query} HTTP/1.1\r\n{head}Content-Length: 99\r\n\r\nx", abort=True)
    _send_raw(stage, f"GET /api/shipments{query} HTTP/1.1\r\n{head}\r\n", abort=True)
    return statuses


async def test_no_log_has_what_was_secret_in_a_request(site: ProductStage) -> None:
    statuses = await sync_to_async(_ask)(site)

    logs = [path for path in site.folder.rglob("*.log") if path.is_file()]
    written = {path.name: path.read_text(errors="replace") for path in logs}
    assert {name: status for name, status in statuses.items() if str(status) not in name.split()} == {}
    assert {"nginx.log", "all-1.log"} <= written.keys()
    assert '"status": 404' in written["all-1.log"]
    assert {name: [line for line in text.splitlines() if SECRET in line] for name, text in written.items()} == {
        name: [] for name in written
    }
