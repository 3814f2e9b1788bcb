"""Hostile and broken clients get a clear answer, and cost the server neither memory nor other sockets."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from shipments.auth import tokens
from shipments.services.accounts import socket_tickets
from tests.drills.harness.product_stage import ProductStage
from tests.journeys.clients import SocketClient
from tests.journeys.credentials import (
    handshake_status,
    now,
    wait_for_close,
    welcome_or_close_code,
)
from tests.journeys.realtime.hostile_clients import Case, checked_health, send_raw_frame

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


@pytest.fixture
def case(committed: None) -> Case:
    return Case()


@pytest.fixture(autouse=True)
def server_stays_healthy(product: ProductStage) -> Iterator[None]:
    with checked_health(product):
        yield


# -- credentials and origins --------------------------------------------------------------------------------

FOREIGN = [
    "https://evil.example",
    "null",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1:1",
    "http://127.0.0.1",
    "http://127.0.0.1.evil.com:{port}",
    "http://evil.com/http://127.0.0.1:{port}",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("way", ["cookie", "ticket", "bearer", "nothing"])
async def test_a_foreign_origin_is_refused_before_accept_whatever_its_credential(
    product: ProductStage, case: Case, origin: str, way: str
) -> None:
    headers = {"Origin": origin.format(port=product.api.port)}
    subprotocols = ["freight.v1"]
    if way == "cookie":
        headers["Cookie"] = case.credentials.cookie
    elif way == "bearer":
        headers["Authorization"] = await sync_to_async(case.credentials.bearer)()
    elif way == "ticket":
        subprotocols.append(f"ticket.{await sync_to_async(case.credentials.ticket)()}")

    status = await handshake_status(
        SocketClient(product.ws[0], additional_headers=headers, subprotocols=subprotocols)
    )

    assert status == 403


async def test_without_an_origin_a_cookie_is_refused_and_a_ticket_is_not(product: ProductStage, case: Case) -> None:
    cookie = {"Cookie": case.credentials.cookie}
    ticket = f"ticket.{await sync_to_async(case.credentials.ticket)()}"

    refused = await handshake_status(SocketClient(product.ws[0], additional_headers=cookie))
    async with SocketClient(
        product.ws[0], additional_headers=cookie, subprotocols=["freight.v1", ticket]
    ) as socket:
        answer = await welcome_or_close_code(socket)

    assert (refused, answer) == (403, "welcome")


async def test_a_used_or_old_ticket_closes_with_4401(product: ProductStage, case: Case) -> None:
    used = await sync_to_async(case.credentials.ticket)()
    subject = await sync_to_async(lambda: case.credentials.subject)()
    old, _ = await sync_to_async(socket_tickets.issue)(by=subject, now=now() - timedelta(seconds=31))

    answers = []
    for ticket in (used, used, old, "never-made", ""):
        async with SocketClient(product.ws[0], subprotocols=["freight.v1", f"ticket.{ticket}"]) as socket:
            answers.append(await welcome_or_close_code(socket))

    assert answers == ["welcome", "4401", "4401", "4401", "4401"]


async def test_a_token_in_the_query_string_is_ignored_and_in_no_log(product: ProductStage, case: Case) -> None:
    token, ticket = await sync_to_async(case.credentials.token)(), await sync_to_async(case.credentials.ticket)()
    socket = SocketClient(product.ws[0])
    socket._url += f"?token={token}&access_token={token}&ticket={ticket}"

    async with socket:
        await socket.send(type="join:room", shipmentId=case.shipment.reference)
        error = await socket.receive("error")
    async with SocketClient(product.ws[0], subprotocols=["freight.v1", f"ticket.{ticket}"]) as other:
        await other.receive("welcome")
    for secret in (f"Bearer {token}", f"Bearer {case.credentials.api_key}"):
        async with SocketClient(product.ws[0], secret) as authenticated:
            await authenticated.receive("welcome")
            await authenticated.send(type="token:refresh", token=token)
            await authenticated.receive("token:refreshed")

    assert error["code"] == "bad_request"
    for daphne in product.daphnes:
        written = daphne.log.read_text()
        assert [secret for secret in (token, ticket, case.credentials.api_key) if secret in written] == []


def _unsigned(claims: dict[str, Any]) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def _forge(good: str, forgery: str) -> str:
    claims = jwt.decode(good, options={"verify_signature": False})
    key = tokens._signing_key(settings.SECRET_KEY)
    forgeries: dict[str, Callable[[], str]] = {
        "alg none": lambda: _unsigned(claims),
        "wrong key": lambda: jwt.encode(claims, "another key of thirty-two bytes!", algorithm="HS256"),
        "other algorithm": lambda: jwt.encode(claims, key.ljust(64, b"\0"), algorithm="HS512"),
        "no exp": lambda: jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key, algorithm="HS256"),
        "expired": lambda: jwt.encode(claims | {"exp": int(time.time()) - 1}, key, algorithm="HS256"),
        "refresh token": lambda: jwt.encode(claims | {"typ": "refresh"}, key, algorithm="HS256"),
        "no token": lambda: "",
        "endless": lambda: "x" * 5000,
    }
    return forgeries[forgery]()


@pytest.mark.parametrize(
    "forgery",
    ["alg none", "wrong key", "other algorithm", "no exp", "expired", "refresh token", "no token", "endless"],
)
@pytest.mark.parametrize("way", ["header", "first frame"])
async def test_a_token_that_is_not_ours_closes_with_4401(
    product: ProductStage, case: Case, forgery: str, way: str
) -> None:
    token = _forge(await sync_to_async(case.credentials.token)(), forgery)

    async with SocketClient(product.ws[0], f"Bearer {token}" if way == "header" else None) as socket:
        if way == "first frame":
            await socket.send(type="auth", token=token)
        answer = await welcome_or_close_code(socket)

    assert answer == "4401"


async def test_a_silent_socket_is_closed_with_4408_and_an_expired_one_with_4401(
    product: ProductStage, case: Case
) -> None:
    short = await sync_to_async(case.credentials.bearer)(life=timedelta(seconds=4))

    async with SocketClient(product.ws[0]) as silent, SocketClient(product.ws[0], short) as expiring:
        (late, _), (expired, seconds) = await asyncio.gather(wait_for_close(silent), wait_for_close(expiring))

    assert (late, expired) == (4408, 4401)
    # At most five seconds late, and five more for a loaded machine.
    assert seconds < 4 + 5 + 5


# -- frames -------------------------------------------------------------------------------------------------

NAMES = [
    "SHIP-*",
    "*",
    "?",
    "[a-z]",
    "SHIP-%",
    "ŠHIP-1",
    "📦",
    "x" * 10_240,
    "../admin",
    "a b",
    "",
    "shipment:",
    "\0",
]


async def test_a_foreign_and_a_malformed_room_are_answered_like_a_missing_one(
    product: ProductStage, case: Case
) -> None:
    names = ["NOT-THERE", case.foreign.reference, *NAMES]

    async with SocketClient(product.ws[0], await sync_to_async(case.credentials.bearer)()) as socket:
        await socket.receive("welcome")
        answers = []
        for name in names:
            await socket.send(type="join:room", id=1, shipmentId=name)
            answers.append(await socket.receive("error"))
        await socket.send(type="join:room", shipmentId=case.shipment.reference)
        await socket.receive("room:joined")

    missing = answers[0] | {"room": ""}
    assert missing["code"] == "not_found"
    assert [answer | {"room": ""} for answer in answers] == [missing] * len(names)
    assert max(len(answer["room"]) for answer in answers) <= 80


KINDS = ["admin", "Join:Room", "", "__class__", "websocket.close", "x" * 300, "token:refreshed", "auth"]


async def test_unknown_and_binary_frames_are_answered_with_errors_and_the_socket_stays(
    product: ProductStage, case: Case
) -> None:
    frames: list[Any] = [
        *({"type": kind} for kind in KINDS), {"type": 7}, {"type": None}, {}, [], "x", None,
        {"type": "ping", "t": {}}, {"type": "join:room", "rooms": [[]]}, {"type": "join:room", "rooms": {}},
        {"type": "leave:room"}, {"type": "token:refresh", "token": 7},
    ]  # fmt: skip

    async with SocketClient(product.ws[0], await sync_to_async(case.credentials.bearer)()) as socket:
        await socket.receive("welcome")
        messages: list[str | bytes] = [json.dumps(frame) for frame in frames]
        for sent in (*messages, b"\0\1\2", "{" * 8000, '{"type":"ping","t":1e999}'):
            await socket.connection.send(sent)
            answer = await socket.receive("error")
            assert (answer["code"], "Traceback" in answer["message"]) == ("bad_request", False)
        await socket.send(type="ping", t=1)
        await socket.receive("pong")


async def test_a_frame_beyond_the_limit_is_refused(product: ProductStage, case: Case) -> None:
    token = await sync_to_async(case.credentials.bearer)()

    async with SocketClient(product.ws[0], token) as socket:
        await socket.receive("welcome")
        await socket.connection.send(json.dumps({"type": "ping", "t": "x" * 17_000}))
        small = await socket.receive("error")
    async with SocketClient(product.ws[0], token) as socket:
        await socket.receive("welcome")
        await send_raw_frame(socket, json.dumps({"type": "ping", "t": "x" * 2_000_000}).encode(), opcode=1)
        code, _ = await wait_for_close(socket)

    assert (small["code"], code) == ("bad_request", 1009)


async def test_invalid_utf8_is_closed_with_1007(product: ProductStage, case: Case) -> None:
    async with SocketClient(product.ws[0], await sync_to_async(case.credentials.bearer)()) as socket:
        await socket.receive("welcome")
        await send_raw_frame(socket, b'{"type":"ping","t":"\xc3\x28"}', opcode=1)
        code, _ = await wait_for_close(socket)

    assert code == 1007
