"""HTTP responses: backpressure, disconnects and stalls of streams, and complete responses in one write."""

import socket
import time

import httpx
import pytest

from tests.drills.harness.waiting import comes_true
from tests.freight.server.server_process import ServerProcess, read_all, receive

pytestmark = pytest.mark.journey

MIB = 1024 * 1024
BLOCK = 65536


def send_request(server_process: ServerProcess, path: str, **options: int) -> socket.socket:
    client = server_process.connect(**options)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return client


def counter(server_process: ServerProcess, name: str) -> int:
    return int(server_process.state().get(name, 0))


def test_a_stream_waits_for_a_slow_reader_and_buffers_little(server_process: ServerProcess) -> None:
    blocks_before, resting = counter(server_process, "blocks"), server_process.rss
    client = send_request(server_process, "/stream?blocks=800", receive_buffer=65536)
    time.sleep(0.5)
    made = counter(server_process, "blocks") - blocks_before
    read, most = 0, 0
    while block := client.recv(1 << 16):
        read += len(block)
        most = max(most, server_process.rss) if read % 8 == 0 else most
    most = max(most, server_process.rss)
    client.close()

    # While the client does not read: the kernel's buffers and 256 KiB.
    assert made < 200
    assert read > 800 * BLOCK
    assert most - resting < 6 * MIB


def test_an_application_gets_the_disconnect_within_two_seconds(server_process: ServerProcess) -> None:
    left_before = counter(server_process, "left")
    made = counter(server_process, "blocks")
    client = send_request(server_process, "/stream?blocks=100000", receive_buffer=4096)
    assert comes_true(60, lambda: counter(server_process, "blocks") > made)

    began = time.monotonic()
    client.close()
    assert comes_true(60, lambda: counter(server_process, "left") == left_before + 1)

    assert time.monotonic() - began < 5  # two seconds on an idle machine


def test_a_stalled_reader_is_aborted(server_process: ServerProcess) -> None:
    left_before = counter(server_process, "left")
    client = send_request(server_process, "/stream?blocks=100000", receive_buffer=4096)

    began = time.monotonic()
    assert comes_true(
        60, lambda: counter(server_process, "left") == left_before + 1
    )  # run_server(stalled_seconds=3)

    assert time.monotonic() - began > 2.5
    client.close()


def test_a_slow_reader_that_makes_progress_is_not_aborted(server_process: ServerProcess) -> None:
    client = send_request(server_process, "/stream?blocks=150", receive_buffer=65536)
    read = 0
    for _ in range(8):  # four seconds: longer than a stall may last
        time.sleep(0.5)
        read += len(receive(client, 1 << 16))
    rest = read_all(client)
    client.close()

    assert read + len(rest) > 150 * BLOCK
    assert rest.endswith(b"0\r\n\r\n")


def test_an_unfinished_response_does_not_look_complete(server_process: ServerProcess) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server_process.url}/half", timeout=10)


def test_a_keep_alive_connection_serves_many_requests(server_process: ServerProcess) -> None:
    with httpx.Client(base_url=server_process.url) as http:
        answers = [http.get("/slow?0").json() for _ in range(20)]

    assert answers == [{"slow": True}] * 20


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize(
    "query",
    [
        "status=200&size=5&line=content-length:5&line=eTaG:a&line=x-frame-options:DENY&line=www-authenticate:b",
        "status=200&size=5",
        "status=200&size=0&line=content-length:0",
        "status=304&size=0&line=content-length:0&line=etag:a",
        "status=204&size=0",
        "status=599&size=5&line=content-length:5",
        "status=200&size=5&line=content-length:5&line=set-cookie:a&line=vary:b&line=set-cookie:c",
        "status=200&size=5&line=content-length:5&line=x-two:a|evil:b",
        "status=200&size=5&line=content-length:5&line=server:another",
        "status=200&size=900000&line=content-length:900000",
    ],
)
def test_a_response_in_one_event_has_the_bytes_of_one_in_two_events(
    server_process: ServerProcess, method: str, version: str, query: str
) -> None:
    def read(path: str) -> bytes:
        client = server_process.connect()
        end = "Connection: close\r\n" if version == "1.0" else ""
        request = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n{end}\r\n"
        last = f"GET /nowhere HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall((request + (last if version == "1.1" else "")).encode())
        with client:
            return read_all(client)

    one_event, two_events = read(f"/respond?{query}"), read(f"/respond?{query}&apart=1")

    if "content-length" in query:
        assert one_event == two_events
    else:
        assert one_event.partition(b"\r\n\r\n")[0] == two_events.partition(b"\r\n\r\n")[0]
    assert one_event.startswith(f"HTTP/{version} {query[7:10]} ".encode())


def test_a_slow_reader_gets_a_complete_response(server_process: ServerProcess) -> None:
    client = send_request(
        server_process, f"/respond?status=200&size={8 * MIB}&line=content-length:{8 * MIB}", receive_buffer=4096
    )
    time.sleep(0.3)

    with client:
        assert len(read_all(client).partition(b"\r\n\r\n")[2]) == 8 * MIB
