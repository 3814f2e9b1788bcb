"""A socket that never authenticates is closed, and counts against its address."""

import asyncio
import secrets
from typing import Any

import pytest

from realtime.connections.identity import Identity
from realtime.protocol import frames
from realtime.protocol.close_codes import CloseCode
from shipments.auth.subjects import Subject

pytestmark = pytest.mark.usefixtures("committed")


class UnauthenticatedSocket:
    """A socket that sends nothing and records its close code."""

    subject: Subject | None = None
    closed = False

    def __init__(self) -> None:
        self.closed_with: asyncio.Future[CloseCode] = asyncio.get_running_loop().create_future()

    def deliver(self, frame: bytes) -> None:
        raise AssertionError(frame)

    async def close(self, code: CloseCode, reason: str) -> None:
        self.closed_with.set_result(code)

    async def check_rooms(self, subject: Subject) -> None:
        raise AssertionError(subject)

    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        raise AssertionError(fresh)


async def close_code_for(address: str) -> CloseCode:
    socket = UnauthenticatedSocket()
    await Identity(socket, None, address).begin()
    async with asyncio.timeout(10):
        return await socket.closed_with


async def test_an_address_that_never_authenticates_is_rate_limited(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ws_connect": (2, 604_800)}
    monkeypatch.setattr(frames, "AUTHENTICATION_SECONDS", 0.0)
    address, other = (f"2001:db8:{secrets.randbelow(65536):x}:{number}::1" for number in range(2))

    codes = [await close_code_for(each) for each in [address] * 4 + [other]]

    assert codes == [4408, 4408, 4429, 4429, 4408]
