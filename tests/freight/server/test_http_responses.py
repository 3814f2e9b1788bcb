"""Long responses: made as fast as they are read, given up when the client goes, never cut silently."""

import socket
import time

import httpx
import pytest

from tests.freight.server.server_process import ServerProcess, read_all, receive, wait_until

pytestmark = pytest.mark.journey

MIB = 1024 * 1024
BLOCK = 65536


def send_request(served: ServerProcess, path: str, **options: int) -> socket.socket:
    client = served.connect(**options)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return client


def counter(served: ServerProcess, name: str) -> int:
    return int(served.state().get(name, 0))


def test_a_stream_waits_for_a_slow_reader_and_takes_no_memory(served: ServerProcess) -> None:
    blocks_before, resting = counter(served, "blocks"), served.rss
    client = send_request(served, "/stream?blocks=800", receive_buffer=65536)
    time.sleep(0.5)
    made = counter(served, "blocks") - blocks_before
    read, most = 0, 0
    while block := client.recv(1 << 16):
        read += len(block)
        most = max(most, served.rss) if read % 8 == 0 else most
    most = max(most, served.rss)
    client.close()

    # At first only what the kernel takes and 256 KiB more were made.
    assert made < 200
    assert read > 800 * BLOCK
    assert most - resting < 6 * MIB


def test_an_application_learns_within_two_seconds_that_the_client_has_left(served: ServerProcess) -> None:
    left_before = counter(served, "left")
    made = counter(served, "blocks")
    client = send_request(served, "/stream?blocks=100000", receive_buffer=4096)
    assert wait_until(60, lambda: counter(served, "blocks") > made)

    began = time.monotonic()
    client.close()
    assert wait_until(60, lambda: counter(served, "left") == left_before + 1)

    assert time.monotonic() - began < 5  # two on a machine that does nothing else


def test_a_reader_that_stands_still_is_cut(served: ServerProcess) -> None:
    left_before = counter(served, "left")
    client = send_request(served, "/stream?blocks=100000", receive_buffer=4096)

    began = time.monotonic()
    assert wait_until(60, lambda: counter(served, "left") == left_before + 1)  # after three seconds here

    assert time.monotonic() - began > 2.5
    client.close()


def test_a_reader_that_is_slow_but_moves_is_not_cut(served: ServerProcess) -> None:
    client = send_request(served, "/stream?blocks=150", receive_buffer=65536)
    read = 0
    for _ in range(8):  # four seconds, one more than a stall may last
        time.sleep(0.5)
        read += len(receive(client, 1 << 16))
    rest = read_all(client)
    client.close()

    assert read + len(rest) > 150 * BLOCK
    assert rest.endswith(b"0\r\n\r\n")


def test_an_answer_that_its_application_forgets_does_not_look_whole(served: ServerProcess) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{served.url}/half", timeout=10)


def test_a_connection_serves_many_requests(served: ServerProcess) -> None:
    with httpx.Client(base_url=served.url) as http:
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
def test_an_answer_in_one_piece_is_the_one_in_several(
    served: ServerProcess, method: str, version: str, query: str
) -> None:
    def read(path: str) -> bytes:
        client = served.connect()
        end = "Connection: close\r\n" if version == "1.0" else ""
        request = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n{end}\r\n"
        last = f"GET /nowhere HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall((request + (last if version == "1.1" else "")).encode())
        with client:
            return read_all(client)

    whole, apart = read(f"/told?{query}"), read(f"/told?{query}&apart=1")

    if "content-length" in query:
        assert whole == apart
    else:
        assert whole.partition(b"\r\n\r\n")[0] == apart.partition(b"\r\n\r\n")[0]
    assert whole.startswith(f"HTTP/{version} {query[7:10]} ".encode())


def test_a_slow_reader_gets_a_whole_answer_too(served: ServerProcess) -> None:
    client = send_request(
        served, f"/told?status=200&size={8 * MIB}&line=content-length:{8 * MIB}", receive_buffer=4096
    )
    time.sleep(0.3)

    with client:
        assert len(read_all(client).partition(b"\r\n\r\n")[2]) == 8 * MIB
