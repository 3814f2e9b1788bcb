"""An HTTP client that logs in, and a socket client that validates every frame."""

import asyncio
from typing import Any, Self

import httpx
import jsonschema
import orjson
import websockets
from websockets.asyncio.client import ClientConnection

from realtime.protocol.frame_schemas import FRAMES_BY_TYPE
from shipments.models import Organization
from tests import factories
from tests.drills.harness.process import ProductProcess


def logged_in_client(daphne: ProductProcess, organization: Organization, role: str, **links: Any) -> httpx.Client:
    """Return an HTTP client that has logged in as a fresh member."""
    user = factories.user(organization, role, password=factories.PASSWORD, **links)
    http = httpx.Client(base_url=f"{daphne.url}/api", timeout=10)
    response = http.post("/auth/login", json={"email": user.email, "password": factories.PASSWORD})
    if response.status_code != 200:
        http.close()
        raise AssertionError(f"{response.status_code} {response.text}")
    http.headers["Authorization"] = f"Bearer {response.json()['access']}"
    return http


class SocketClient:
    """A socket client that keeps every frame that it receives."""

    def __init__(self, daphne: ProductProcess, token: str | None = None, **options: Any) -> None:
        headers = {"Authorization": token} if token else {}
        self._options: dict[str, Any] = {
            "additional_headers": headers,
            "subprotocols": ["freight.v1"],
            "open_timeout": 5,
            "ping_interval": None,
        } | options
        self._url = daphne.ws_url
        self.frames: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self.connection: ClientConnection = await websockets.connect(self._url, **self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def send(self, **frame: Any) -> None:
        await self.connection.send(orjson.dumps(frame).decode())

    async def receive(self, kind: str, seconds: float = 5) -> dict[str, Any]:
        """Return the next frame of a type; every frame before it is validated against the reference and kept."""
        async with asyncio.timeout(seconds):
            while True:
                frame: dict[str, Any] = orjson.loads(await self.connection.recv())
                jsonschema.validate(frame, FRAMES_BY_TYPE[frame["type"]].schema)
                self.frames.append(frame)
                if frame["type"] == kind:
                    return frame

    async def receive_updates_until(self, seq: int, seconds: float = 5) -> list[int]:
        """Return the seqs of all updates up to `seq`."""
        seqs: list[int] = []
        while not seqs or seqs[-1] < seq:
            seqs.append((await self.receive("shipment:update", seconds))["seq"])
        return seqs
