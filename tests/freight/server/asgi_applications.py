"""Small ASGI applications on our server.

Run as `python -m tests.freight.server.asgi_applications PORT_OR_SOCKET DRAIN_SECONDS STALLED_SECONDS`.
"""

import asyncio
import json
import sys
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

import psutil

FRAME = b'{"n":"%08d","x":"' + b"x" * 1000 + b'"}'


class ServerState:
    """What the applications of this process have recorded."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.codes: list[int] = []
        self.members: list[Any] = []
        self.resume = asyncio.Event()


_server_state: ServerState | None = None


def server_state() -> ServerState:
    global _server_state
    _server_state = _server_state or ServerState()
    return _server_state


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    handlers = {"websocket": SOCKETS, "http": REQUESTS}[scope["type"]]
    await handlers[scope["path"]](scope, receive, send)


# -- sockets ----------------------------------------------------------------------------------------------


async def _accepted(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echo every message until the socket closes; `close` asks for a close with 4400."""
    await _accepted(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "close":
            await send({"type": "websocket.close", "code": 4400, "reason": "as you say"})
        else:
            await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
    server_state().codes.append(event["code"])
    server_state().counts["disconnected"] += 1


async def flood(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send as many numbered frames as a message asks for, by the extension `freight.frames` or by `send`."""
    await _accepted(receive, send)
    frames = scope["extensions"]["freight.frames"]
    while (event := await receive())["type"] == "websocket.receive":
        options = json.loads(event["text"])
        for number in range(options["frames"]):
            if options["by"] == "extension" or (options["by"] == "both" and number % 2):
                frames.write(FRAME % number)
            else:
                await send({"type": "websocket.send", "text": (FRAME % number).decode()})
            if number % options.get("turn", 50) == 0:
                await asyncio.sleep(0)
            if options.get("patient"):
                await frames.drain()
    server_state().codes.append(event["code"])
    server_state().counts["disconnected"] += 1


async def crowd(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Broadcast as many numbered frames as a message asks for, and between them frames to its sender alone."""
    await _accepted(receive, send)
    buffer = scope["extensions"]["freight.frames"]
    server_state().members.append(buffer)
    while (event := await receive())["type"] == "websocket.receive":
        options = json.loads(event["text"])
        for first in range(0, options["frames"], options["together"]):
            numbers = range(first, min(first + options["together"], options["frames"]))
            buffer.broadcast([FRAME % number for number in numbers], server_state().members)
            buffer.write(b'{"own":%d}' % numbers[-1])
            await asyncio.sleep(options.get("pause", 0))
    server_state().members.remove(buffer)
    server_state().codes.append(event["code"])
    server_state().counts["disconnected"] += 1


async def large(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send one frame of as many bytes as a message asks for."""
    await _accepted(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        scope["extensions"]["freight.frames"].write(b"x" * int(event["text"]))


async def busy(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Receive nothing until GET /go, then everything up to the text `last`, and send their number."""
    await _accepted(receive, send)
    await server_state().resume.wait()
    number = 0
    while (await receive()).get("text") != "last":
        number += 1
    await send({"type": "websocket.send", "text": str(number)})
    await receive()


async def describe_scope(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept the first subprotocol that was offered, and send the scope."""
    assert (await receive())["type"] == "websocket.connect"
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
    described = {name: value for name, value in scope.items() if name not in {"client", "extensions"}}
    await send({"type": "websocket.send", "text": repr(sorted(described.items()))})
    await receive()


async def denied(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse the handshake."""
    await receive()
    await send({"type": "websocket.close"})


async def broken(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept a subprotocol that was not offered."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "other"})


# -- requests ---------------------------------------------------------------------------------------------


async def _respond(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def state(scope: dict[str, Any], receive: Any, send: Any) -> None:
    process = psutil.Process()
    measured = {
        "rss": process.memory_info().rss,
        "cpu": sum(process.cpu_times()[:2]),
        "codes": server_state().codes,
    }
    await _respond(send, json.dumps(measured | dict(server_state().counts)).encode())


async def go(scope: dict[str, Any], receive: Any, send: Any) -> None:
    server_state().resume.set()
    await _respond(send, b"{}")


async def slow(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Respond after as many seconds as the query says."""
    server_state().counts["slow"] += 1
    await asyncio.sleep(float(scope["query_string"]))
    await _respond(send, b'{"slow":true}')


async def quick(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the request and respond after 20 ms."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.02)
    await _respond(send, b'{"quick":true}')


async def stream(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Stream blocks of 64 KiB, as many as the query says; count the blocks, and the clients that disconnect."""
    blocks = int(parse_qs(scope["query_string"].decode())["blocks"][0])

    async def produce() -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(blocks):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            server_state().counts["blocks"] += 1
        await send({"type": "http.response.body", "body": b""})

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    producing, watching = asyncio.create_task(produce()), asyncio.create_task(watch())
    await asyncio.wait({producing, watching}, return_when=asyncio.FIRST_COMPLETED)
    server_state().counts["streamed" if producing.done() else "left"] += 1
    producing.cancel()
    watching.cancel()


async def truncated(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Start a response and return without its end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def respond(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Respond as the query says: status, size, header lines; with `apart` in two body events."""
    query = parse_qs(scope["query_string"].decode())
    lines = [line.encode().partition(b":") for line in query.get("line", [])]
    headers = [(name, value.replace(b"|", b"\r\n")) for name, _, value in lines]
    in_parts = "apart" in query
    await send({"type": "http.response.start", "status": int(query["status"][0]), "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * int(query["size"][0]), "more_body": in_parts})
    if in_parts:
        await send({"type": "http.response.body"})


SOCKETS = {
    "/echo": echo,
    "/ws/": echo,
    "/flood": flood,
    "/crowd": crowd,
    "/large": large,
    "/busy": busy,
    "/shown": describe_scope,
    "/denied": denied,
    "/broken": broken,
}
REQUESTS = {
    "/state": state,
    "/go": go,
    "/slow": slow,
    "/api/quick": quick,
    "/stream": stream,
    "/half": truncated,
    "/respond": respond,
}


def main(address: str, drain_seconds: float, stalled_seconds: float) -> None:
    from freight.server import serve  # only in the process that serves

    serve.install_reactor()
    endpoint = serve.endpoint(port=int(address)) if address.isdecimal() else serve.endpoint(unix=address)
    drain_frame = b'{"type":"drain","retryMs":%d}'
    drain = {"seconds": drain_seconds, "make_drain_frame": lambda retry_ms: drain_frame % retry_ms}
    serve.serve_application(application, endpoint, drain=drain, stalled_seconds=stalled_seconds)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
