"""How a WebSocket is opened: parsed at once or the long way through Twisted and Daphne, it is the same."""

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.server.websocket import handshake_parser
from tests.freight.server.server_process import ServerProcess, client_frame, parse_frames, receive

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PLAIN = {
    "Host": "localhost:4000",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
CHROME = {
    "Host": "track.example.com",
    "Connection": "Upgrade",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0",
    "Upgrade": "websocket",
    "Origin": "https://track.example.com",
    "Sec-WebSocket-Version": "13",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cookie": "sessionid=abc; theme=dark",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}
FIREFOX = PLAIN | {
    "Origin": "http://localhost:4000",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Extensions": "permessage-deflate",
}
PROXIED = PLAIN | {"Connection": "upgrade", "X-Forwarded-For": "203.0.113.9, 10.0.0.1", "X-Request-ID": "a-b_c.1"}
WITH_SUBPROTOCOLS = PLAIN | {
    "sec-websocket-protocol": "freight.v1, ticket.abc-DEF_1",
    "AUTHORIZATION": "Bearer x.y.z",
}
ORDINARY = [PLAIN, CHROME, FIREFOX, PROXIED, WITH_SUBPROTOCOLS]


def head(fields: dict[str, str], *, line: str = "GET /shown?a=1&b=%20 HTTP/1.1", more: str = "") -> bytes:
    """Return the first lines of a request."""
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), more + "\r\n"]).encode(
        "latin1"
    )


UNUSUAL = {
    "not a GET": head(PLAIN, line="POST /shown HTTP/1.1"),
    "HTTP/1.0": head(PLAIN, line="GET /shown HTTP/1.0"),
    "whole URL": head(PLAIN, line="GET http://localhost/shown HTTP/1.1"),
    "another host's path": head(PLAIN, line="GET //localhost/shown HTTP/1.1"),
    "quoted path": head(PLAIN, line="GET /sh%6fwn HTTP/1.1"),
    "parameters": head(PLAIN, line="GET /shown;a=1 HTTP/1.1"),
    "fragment": head(PLAIN, line="GET /shown#here HTTP/1.1"),
    "no key": head({name: value for name, value in PLAIN.items() if "Key" not in name}),
    "short key": head(PLAIN | {"Sec-WebSocket-Key": "c2hvcnQ="}),
    "no host": head({name: value for name, value in PLAIN.items() if name != "Host"}),
    "odd host": head(PLAIN | {"Host": "localhost:x"}),
    "version 8": head(PLAIN | {"Sec-WebSocket-Version": "8"}),
    "no upgrade": head({name: value for name, value in PLAIN.items() if name != "Upgrade"}),
    "other upgrade": head(PLAIN | {"Upgrade": "h2c"}),
    "connection closes": head(PLAIN | {"Connection": "close"}),
    "same name twice": head(PLAIN, more="host: other\r\n"),
    "quoted subprotocol": head(PLAIN | {"Sec-WebSocket-Protocol": "a%2Cb"}),
    "unknown extension": head(PLAIN | {"Sec-WebSocket-Extensions": "x-gzip"}),
    "body": head(PLAIN | {"Content-Length": "1"}) + b"x",
    "chunks": head(PLAIN | {"Transfer-Encoding": "chunked"}),
    "waits for 100": head(PLAIN | {"Expect": "100-continue"}),
    "root path": head(PLAIN | {"Daphne-Root-Path": "/x"}),
    "underscore": head(PLAIN | {"X_User": "admin"}),
    "not ASCII": head(PLAIN | {"X-Name": "Zoë"}),
    "tab": head(PLAIN | {"X-Name": "\tx"}),
    "folded": head(PLAIN | {"X-Name": "x\r\n y"}),
    "control character": head(PLAIN | {"X-Name": "x\x00y"}),
    "no space": head(PLAIN).replace(b"Upgrade: websocket", b"Upgrade:websocket"),
    "bare line feeds": head(PLAIN).replace(b"\r\n", b"\n"),
    "something behind": head(PLAIN) + client_frame(b"early"),
    "half": head(PLAIN)[:-2],
    "very long": head(PLAIN | {"X-Name": "x" * 9000}),
}


@pytest.mark.parametrize("fields", ORDINARY)
def test_what_clients_send_is_read_at_once(fields: dict[str, str]) -> None:
    opening = handshake_parser.parse_whole(head(fields))

    assert opening is not None
    assert (opening.raw_path, opening.query_string, opening.key) == (b"/shown", b"a=1&b=%20", KEY)
    assert opening.headers == [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    assert opening.subprotocols == (["freight.v1", "ticket.abc-DEF_1"] if fields is WITH_SUBPROTOCOLS else [])


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_out_of_the_ordinary_is_for_others_to_judge(data: bytes) -> None:
    assert handshake_parser.parse_whole(data) is None


LONG_WAY = {
    "not a GET": 405, "HTTP/1.0": 101, "whole URL": 400, "fragment": 400, "no key": 400, "short key": 400,
    "no host": 400, "version 8": 400, "connection closes": 426, "body": 400, "something behind": 101,
    "quoted path": 101, "root path": 101, "underscore": 101, "not ASCII": 101, "tab": 101, "no space": 101,
}  # fmt: skip


@pytest.mark.journey
@pytest.mark.parametrize("name", LONG_WAY)
def test_what_is_out_of_the_ordinary_is_judged_by_the_library(server_process: ServerProcess, name: str) -> None:
    answer, _ = open_socket(server_process, UNUSUAL[name])

    assert int(answer.split(b" ")[1]) == LONG_WAY[name]


@given(
    fields=st.sampled_from(ORDINARY),
    at=st.integers(0, 400),
    bad=st.binary(min_size=1, max_size=2),
    over=st.booleans(),
)
def test_a_head_with_anything_strange_in_it_is_never_taken_for_another(
    fields: dict[str, str], at: int, bad: bytes, over: bool
) -> None:
    whole = head(fields)
    at %= len(whole)
    opening = handshake_parser.parse_whole(whole[:at] + bad + whole[at + len(bad) * over :])

    if opening is not None:
        # Whatever was changed stands where anything may: in a value, a name, the path, the query.
        lines = [name + b": " + value for name, value in opening.headers]
        assert all(line.isascii() and b"\r" not in line and b"\n" not in line for line in lines)
        assert len(dict(opening.headers)) == len(opening.headers)
        assert len(opening.key) == 24


@pytest.mark.journey
@pytest.mark.parametrize("fields", ORDINARY)
@pytest.mark.parametrize("path", ["/shown", "/denied", "/broken", "/nowhere"])
def test_an_opening_in_one_piece_and_in_two_is_the_same(
    server_process: ServerProcess, path: str, fields: dict[str, str]
) -> None:
    data = head(fields, line=f"GET {path}?a=1&b=%20 HTTP/1.1")
    assert handshake_parser.parse_whole(data) is not None

    at_once, long_way = open_socket(server_process, data), open_socket(server_process, data[:9], data[9:])

    assert at_once == long_way
    status = at_once[0].partition(b"\r\n")[0]
    expected = {"/shown": b"101 Switching Protocols", "/denied": b"403 Access denied"}
    assert status == b"HTTP/1.1 " + expected.get(path, b"500 Internal server error")
    assert (b"'query_string', b'a=1&b=%20'" in at_once[1]) == (path == "/shown")


@pytest.mark.journey
@pytest.mark.parametrize("cut", [0, 9, -9], ids=["in one read", "in the head", "in the frame"])
def test_frames_that_come_in_the_same_read_as_the_handshake_are_not_lost(
    server_process: ServerProcess, cut: int
) -> None:
    data = head(PLAIN, line="GET /echo HTTP/1.1") + client_frame(b"early") + client_frame(b"x" * 20_000)
    client = server_process.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(data[:cut])
    time.sleep(0.02)  # a read of its own
    client.sendall(data[cut:])
    stream = b""
    while len(frames_after_head(stream)) < 2:
        stream += receive(client, 65536)
    client.close()

    assert stream.startswith(b"HTTP/1.1 101")
    assert frames_after_head(stream) == [(1, b"early"), (1, b"x" * 20_000)]


@pytest.mark.journey
def test_a_request_before_on_the_same_connection_changes_nothing(server_process: ServerProcess) -> None:
    client = server_process.connect()
    client.sendall(b"GET /state HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while b"}" not in receive(client, 4096):
        pass

    assert exchange(client, head(PLAIN)) == open_socket(server_process, head(PLAIN))


def open_socket(server_process: ServerProcess, *pieces: bytes) -> tuple[bytes, bytes]:
    """Return the server's response, and the first frame of the application."""
    return exchange(server_process.connect(), *pieces)


def exchange(client: socket.socket, *pieces: bytes) -> tuple[bytes, bytes]:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        client.sendall(piece)
        time.sleep(0.02)  # a read of its own
    client.settimeout(5)
    stream = b""
    while b"\r\n\r\n" not in stream or (stream.startswith(b"HTTP/1.1 101") and not frames_after_head(stream)):
        block = client.recv(65536)
        if not block:
            break
        stream += block
    client.close()
    answer, _, rest = stream.partition(b"\r\n\r\n")
    return answer, b"".join(payload for _, payload in parse_frames(rest))


def frames_after_head(stream: bytes) -> list[tuple[int, bytes]]:
    return parse_frames(stream.partition(b"\r\n\r\n")[2])
