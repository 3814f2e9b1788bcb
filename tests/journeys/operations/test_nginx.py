"""The nginx file that deploy/ ships, in front of a server that answers with what reached it."""

import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.drills.harness.environment import free_port
from tests.drills.harness.nginx import Nginx

pytestmark = pytest.mark.journey

TEXT = "x" * 5000
FIRST_LINE_READ = threading.Event()


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that arrived; a stream sends one line, and another once the first was read."""

    protocol_version = "HTTP/1.1"
    server: "EchoServer"

    def do_GET(self) -> None:
        if "broken" in self.path:
            self.request.shutdown(socket.SHUT_RDWR)
            return
        if "stream" in self.path or "/exports/" in self.path:
            self.answer_stream()
            return
        body = json.dumps({"headers": dict(self.headers), "who": self.server.name, "text": TEXT}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", '"44.abc"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "12")
        self.end_headers()
        self.wfile.write(b"first\n")
        self.wfile.write(b"later\n" if FIRST_LINE_READ.wait(10) else b"blind\n")

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class EchoServer(socketserver.ThreadingUnixStreamServer):
    """A named server on a unix socket."""

    daemon_threads = True

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        super().__init__(str(path), Echo)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Start nginx before one server of each role, and one that does not exist."""
    run = tmp_path_factory.mktemp("proxy")
    static = run / "static"
    static.mkdir()
    for name in ("page.css", "page.0123456789ab.css"):
        (static / name).write_text("a{}")
    servers = [EchoServer(run / f"{name}.sock", name) for name in ("api", "ws")]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    upstreams = {"api": [run / "gone.sock", run / "api.sock"], "ws": [run / "ws.sock"]}
    with Nginx(run / "nginx", port=free_port(), static=static, api=upstreams["api"], ws=upstreams["ws"]) as nginx:
        nginx.wait_listening("/static/page.css", seconds=5)
        yield nginx
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def url(proxy: Nginx) -> str:
    return proxy.url


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/shipments", 200),
        ("/api/osmand", 200),
        ("/api/broken", 502),
        ("/", 200),
        ("/static/page.css", 200),
        ("/static/missing-geheim.css", 404),
        ("/static/%00geheim", 400),
        ("/" + "geheim" * 6000, 414),
    ],
)
def test_nginx_writes_no_line_of_a_request(proxy: Nginx, path: str, status: int) -> None:
    """One of the processes is missing: without its setting nginx writes each attempt to ask it."""
    headers = {"Referer": "https://other.example/?token=geheim", "User-Agent": "geheim"}

    answers = [httpx.get(f"{proxy.url}{path}?token=geheim", headers=headers) for _ in range(4)]

    assert {answer.status_code for answer in answers} == {status}
    assert "geheim" not in proxy.log.read_text()


def test_what_a_client_says_about_itself_does_not_pass(url: str) -> None:
    spoofed = {
        "X-Forwarded-For": "8.8.8.8",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "8.8.8.8",
        "Forwarded": "for=8.8.8.8",
        "Daphne-Root-Path": "/evil",
        "Upgrade": "websocket",
        "Connection": "upgrade",
    }
    headers = httpx.get(f"{url}/api/shipments", headers=spoofed).json()["headers"]

    address = url.removeprefix("http://")
    received = {name: headers.get(name) for name in (*spoofed, "Host")}
    assert received == {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": address,
        "X-Real-IP": None,
        "Forwarded": None,
        "Daphne-Root-Path": None,
        "Upgrade": None,
        "Connection": None,
        "Host": address,
    }


@pytest.mark.parametrize("path", ["/ws", "/ws/"])
def test_a_websocket_is_upgraded_by_the_socket_processes(url: str, path: str) -> None:
    asked = {"Upgrade": "websocket", "Connection": "upgrade"}
    answer = httpx.get(f"{url}{path}", headers=asked).json()

    assert answer["who"] == "ws"
    assert (answer["headers"]["Upgrade"], answer["headers"]["Connection"]) == ("websocket", "upgrade")


@pytest.mark.parametrize(
    "path",
    ["/api/shipments/A-1/stream", "/api/events/stream", "/api/exports/a.csv", "/api/shipments/export/stream"],
)
def test_streams_pass_unbuffered_and_uncompressed(url: str, path: str) -> None:
    FIRST_LINE_READ.clear()
    with httpx.stream("GET", f"{url}{path}", headers={"Accept-Encoding": "gzip"}, timeout=30) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        FIRST_LINE_READ.set()
        rest = b"".join(chunks)

    assert (first, rest) == (b"first\n", b"later\n")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/api/exports", "/api/imports"])
def test_a_collection_is_not_taken_for_the_folder_of_its_members(url: str, path: str) -> None:
    answer = httpx.get(f"{url}{path}")

    assert (answer.status_code, answer.json()["who"]) == (200, "api")


def test_a_list_is_compressed_and_one_shipment_keeps_its_strong_etag(url: str) -> None:
    many = httpx.get(f"{url}/api/shipments")
    one = httpx.get(f"{url}/api/shipments/A-1")

    assert many.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in one.headers
    assert one.headers["etag"] == '"44.abc"'


def test_a_process_that_is_gone_is_passed_over(url: str) -> None:
    assert {httpx.get(f"{url}/api/shipments").json()["who"] for _ in range(20)} == {"api"}


def test_static_files_have_a_lifetime_by_their_name(url: str) -> None:
    plain, hashed = (httpx.get(f"{url}/static/{name}") for name in ("page.css", "page.0123456789ab.css"))

    assert plain.headers["cache-control"] == "no-cache"
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["server"] == "nginx"


def test_too_large_a_body_is_a_problem(url: str) -> None:
    answer = httpx.post(f"{url}/api/shipments?q=1", content=b"x" * 12_000_000)

    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert (answer.json()["instance"], answer.json()["code"]) == ("/api/shipments", "body_too_large")


def test_no_process_behind_nginx_is_a_problem(tmp_path: Path) -> None:
    upstreams = {"api": [tmp_path / "a"], "ws": [tmp_path / "b"]}
    with Nginx(
        tmp_path / "nginx", port=free_port(), static=tmp_path, api=upstreams["api"], ws=upstreams["ws"]
    ) as nginx:
        nginx.wait_listening("/", status=None, seconds=5)
        answer = httpx.get(f'{nginx.url}/api/x"y?key=1', headers={"X-Request-ID": "mine-1"})
        page = httpx.get(f"{nginx.url}/")

    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    assert answer.headers["retry-after"] == "2"
    assert answer.json() == {
        "type": "/api/problems/gateway_unavailable",
        "title": "No process can answer",
        "status": 502,
        "code": "gateway_unavailable",
        "detail": "No process can answer right now; try again.",
        "instance": "/api/x%22y",
        "requestId": "mine-1",
    }
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
