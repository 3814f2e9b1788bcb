"""A client of an ASGI application, and a Django handler that records the requests it gets."""

import asyncio
from dataclasses import dataclass
from typing import Any

from freight.server.django_handler import SingleThreadHandler

# Headers that differ between two equal answers, and the methods that DRF names on every answer.
_VARYING_HEADERS = ("ratelimit", "allow")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def comparable(self) -> tuple[int, dict[str, str], bytes]:
        return (
            self.status,
            {k: self.headers[k] for k in sorted(self.headers) if k not in _VARYING_HEADERS},
            self.body,
        )


class RecordingDjango:
    """Django behind the fast path; `paths` are those of the requests that it got."""

    def __init__(self) -> None:
        self.handler = SingleThreadHandler()
        self.paths: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        await self.handler(scope, receive, send)


async def ask(application: Any, target: str, *, method: str = "GET", **headers: str) -> Answer:
    path, _, query = target.partition("?")
    all_headers = {
        "host": "localhost",
        "x-request-id": "the-same",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in all_headers.items()], "scheme": "http",
        "client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 80), "http_version": "1.1", "root_path": "",
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    events: list[int] = []

    async def receive() -> dict[str, Any]:
        if events:
            await asyncio.Event().wait()  # no more messages, and no disconnect
        events.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    response_headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], response_headers, b"".join(message.get("body", b"") for message in sent[1:]))
