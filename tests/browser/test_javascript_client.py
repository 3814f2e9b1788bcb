"""The browser client `freight.js` in Chromium: its pure functions, and its behaviour against a scripted server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, WebSocketRoute

from tests.browser.pages import BrowserUser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]
EPOCH = "7.00000001"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser_user: BrowserUser) -> Page:
    """Open a page without a client, with the pure functions of `log.js` at `window.log`."""
    blank_page = (await browser_user.open_page("/login")).page
    await blank_page.evaluate("import('/static/realtime/log.js').then((log) => { window.log = log; })")
    return blank_page


@pytest.mark.parametrize(
    ("epoch", "seq", "verdict"),
    [
        (EPOCH, 6, "apply"),
        (EPOCH, 5, "ignore"),
        (EPOCH, 1, "ignore"),
        (EPOCH, 7, "rejoin"),
        ("8.00000001", 6, "rejoin"),
        ("8.00000001", 5, "rejoin"),
    ],
)
async def test_only_the_next_event_of_the_same_epoch_is_applied(
    page: Page, epoch: str, seq: int, verdict: str
) -> None:
    known = {"epoch": EPOCH, "seq": 5}

    decision = await page.evaluate(
        "([known, frame]) => log.decide(known, frame)", [known, {"epoch": epoch, "seq": seq}]
    )

    assert decision == verdict


async def test_an_event_is_folded_into_the_snapshot(page: Page) -> None:
    snapshot = {"reference": "A", "status": "booked", "seq": 1, "eta": None, "updatedAt": "2026-03-02T12:00:00Z"}
    event = _event(2, {"status": "dispatched"})

    folded = await page.evaluate("([snapshot, event]) => log.fold(snapshot, event)", [snapshot, event])

    assert folded == snapshot | {"status": "dispatched", "seq": 2, "updatedAt": event["recordedAt"]}


async def test_the_delay_doubles_up_to_half_a_minute_with_full_jitter(page: Page) -> None:
    highest = await page.evaluate("[0, 1, 2, 5, 6, 50].map((attempt) => log.backoff(attempt, () => 1))")
    lowest = await page.evaluate("[0, 50].map((attempt) => log.backoff(attempt, () => 0))")

    assert highest == [500, 1000, 2000, 16000, 30000, 30000]
    assert lowest == [0, 0]


async def test_joins_are_split_by_number_and_by_size(page: Page) -> None:
    sizes = "(joins) => log.batches(joins).map((batch) => batch.length)"
    long = {"room": "shipment:" + "A" * 64, "epoch": "9" * 30, "since": 123456}

    assert await page.evaluate(sizes, []) == []
    assert await page.evaluate(sizes, [{"room": "shipment:A"}] * 401) == [200, 200, 1]
    assert await page.evaluate(sizes, [long] * 200) == [85, 85, 30]


class Server:
    """The server of the page's WebSocket, scripted by the test."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.received: list[dict[str, Any]] = []
        self.connections = 0
        self.marks = 0
        self.socket: WebSocketRoute | None = None

    def accept(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        self.connections += 1
        socket.on_message(lambda message: self.received.append(json.loads(message)))
        self.send(type="welcome", heartbeat=25)

    def send(self, **frame: Any) -> None:
        assert self.socket is not None
        self.socket.send(json.dumps(frame))

    def send_update(self, seq: int, epoch: str = EPOCH) -> None:
        self.send(type="shipment:update", room="shipment:A", epoch=epoch, seq=seq, event=_event(seq, {"n": seq}))

    async def wait_for_frames(self, count: int) -> dict[str, Any]:
        """Return the last frame once `count` have been received."""
        for _ in range(500):
            if len(self.received) >= count:
                return self.received[-1]
            await self.page.wait_for_timeout(20)
        raise AssertionError(f"received only {self.received}")

    async def take_calls(self) -> list[Any]:
        """Return the callbacks that the client has made for all frames so far."""
        self.marks += 1
        self.send(type="mark", number=self.marks)
        await self.page.wait_for_function(f"window.mark === {self.marks}")
        calls: list[Any] = await self.page.evaluate("calls.splice(0)")
        return calls


@pytest_asyncio.fixture(loop_scope="session")
async def server(page: Page) -> AsyncIterator[Server]:
    """Connect a client that has joined shipment A at seq 5."""
    scripted = Server(page)
    await page.route_web_socket("**/ws/", scripted.accept)
    await page.evaluate(
        """async () => {
          const { FreightClient } = await import("/static/realtime/freight.js");
          window.calls = [];
          window.client = new FreightClient();
          client.addEventListener("state", ({ detail }) => { window.state = detail; });
          client.addEventListener("mark", ({ detail }) => { window.mark = detail.number; });
          client.join("A", {
            snapshot: (snapshot) => calls.push(["snapshot", snapshot.seq]),
            update: (event, snapshot) => calls.push(["update", event.seq, snapshot.n]),
            left: (reason) => calls.push(["left", reason]),
          });
          client.connect();
        }"""
    )
    assert await scripted.wait_for_frames(1) == {"type": "join:room", "rooms": [{"room": "shipment:A"}]}
    scripted.send(
        type="room:joined",
        room="shipment:A",
        epoch=EPOCH,
        seq=5,
        recovered=False,
        reason="new",
        snapshot={"seq": 5},
    )
    assert await scripted.take_calls() == [["snapshot", 5]]
    yield scripted
    await page.evaluate("client.close()")


async def test_events_in_order_are_applied_and_duplicates_ignored(server: Server) -> None:
    for seq in (6, 6, 5, 7):
        server.send_update(seq)

    assert await server.take_calls() == [["update", 6, 6], ["update", 7, 7]]
    assert len(server.received) == 1


async def test_a_gap_is_requested_once_and_filled_in_order(server: Server) -> None:
    server.send_update(8)
    server.send_update(9)

    assert await server.wait_for_frames(2) == {
        "type": "join:room",
        "rooms": [{"room": "shipment:A", "epoch": EPOCH, "since": 5}],
    }
    events = [_event(seq, {"n": seq}) for seq in (6, 7, 8, 9)]
    server.send(type="room:joined", room="shipment:A", epoch=EPOCH, seq=9, recovered=True, events=events)
    assert await server.take_calls() == [["update", seq, seq] for seq in (6, 7, 8, 9)]
    assert len(server.received) == 2


async def test_a_heartbeat_with_a_later_head_is_a_gap_too(server: Server) -> None:
    server.send(type="heartbeat", heads={"shipment:A": 5})
    server.send(type="heartbeat", heads={"shipment:A": 6})

    assert (await server.wait_for_frames(2))["rooms"] == [{"room": "shipment:A", "epoch": EPOCH, "since": 5}]


async def test_a_snapshot_of_another_epoch_takes_the_place_of_all_that_was_known(server: Server) -> None:
    restored = "another"
    server.send(
        type="room:joined", room="shipment:A", epoch=restored, seq=3, recovered=False, reason="epoch",
        snapshot={"seq": 3},
    )  # fmt: skip
    server.send_update(4, restored)
    server.send(type="heartbeat", heads={"shipment:A": 4})

    assert await server.take_calls() == [["snapshot", 3], ["update", 4, 4]]
    assert len(server.received) == 1


async def test_an_update_of_another_epoch_is_not_applied(server: Server) -> None:
    server.send_update(6, "another")

    assert (await server.wait_for_frames(2))["rooms"] == [{"room": "shipment:A", "epoch": EPOCH, "since": 5}]
    assert await server.take_calls() == []


async def test_a_lost_connection_is_reopened_and_resumed(server: Server) -> None:
    server.send_update(6)
    await server.take_calls()
    assert server.socket is not None

    await server.socket.close(code=1011, reason="cut")

    assert (await server.wait_for_frames(2))["rooms"] == [{"room": "shipment:A", "epoch": EPOCH, "since": 6}]
    assert server.connections == 2


async def test_a_draining_server_says_when_to_reconnect(server: Server) -> None:
    server.send(type="drain", retryMs=60_000)
    assert server.socket is not None
    await server.socket.close(code=4503, reason="draining")

    wait = await server.page.evaluate(
        "new Promise((done) => setTimeout(() => done(state.retryAt - Date.now()), 100))"
    )
    assert await server.page.evaluate("state.state") == "offline"
    assert 55_000 < wait <= 60_000


async def test_after_4429_it_waits_a_minute(server: Server) -> None:
    assert server.socket is not None
    await server.socket.close(code=4429, reason="Too many sockets of one user.")

    wait = await server.page.evaluate(
        "new Promise((done) => setTimeout(() => done(state.retryAt - Date.now()), 100))"
    )
    assert await server.page.evaluate("state.state") == "offline"
    assert 55_000 < wait <= 90_000


@pytest.mark.parametrize("code", [4401, 4403])
async def test_a_lost_login_is_final(server: Server, code: int) -> None:
    assert server.socket is not None
    await server.socket.close(code=code, reason="revoked")

    await server.page.wait_for_timeout(800)
    assert await server.page.evaluate("state") == {"state": "closed", "code": code}
    assert server.connections == 1


async def test_a_lost_permission_ends_the_room_alone(server: Server) -> None:
    server.send(type="room:left", room="shipment:A", reason="forbidden")
    server.send_update(6)

    assert await server.take_calls() == [["left", "forbidden"]]
    assert await server.page.evaluate("client.rooms") == []


async def test_a_join_refused_as_unavailable_is_retried(server: Server) -> None:
    server.send_update(8)
    await server.wait_for_frames(2)

    server.send(type="error", code="unavailable", message="later")

    assert (await server.wait_for_frames(3))["rooms"] == [{"room": "shipment:A", "epoch": EPOCH, "since": 5}]


async def test_the_feed_is_ordered_and_resumed_by_its_positions(server: Server) -> None:
    await server.page.evaluate(
        """client.join("shipments:all", {
          snapshot: ({ seq }) => calls.push(["feed from", seq]),
          update: (event, _, frame) => calls.push([frame.shipmentId ?? event.shipmentId, event.seq]),
        })"""
    )
    await server.wait_for_frames(2)
    feed = {"room": "shipments:all", "epoch": EPOCH}
    server.send(type="room:joined", **feed, seq=40, recovered=False, reason="new", snapshot={"seq": 40})
    server.send(type="shipment:update", **feed, seq=41, shipmentId="B", event=_event(3, {}), shipment=None)
    server.send(type="shipment:update", **feed, seq=43, shipmentId="A", event=_event(9, {}), shipment=None)

    assert (await server.wait_for_frames(3))["rooms"] == [{"room": "shipments:all", "epoch": EPOCH, "since": 41}]
    missed_events = [
        _event(1, {}) | {"shipmentId": "C", "position": 42},
        _event(9, {}) | {"shipmentId": "A", "position": 43},
    ]
    server.send(type="room:joined", **feed, seq=43, recovered=True, events=missed_events)
    assert await server.take_calls() == [["feed from", 40], ["B", 3], ["C", 1], ["A", 9]]


async def test_a_room_without_seq_passes_on_the_latest_value(server: Server) -> None:
    driver = "01a20a6a-7a84-7555-a223-22f9160039db"
    await server.page.evaluate(
        f"""client.join("driver:{driver}", {{
          snapshot: (value) => calls.push(["at", value.latitude]),
          value: (frame) => calls.push(["now at", frame.latitude]),
        }})"""
    )
    await server.wait_for_frames(2)
    value = {"driverId": driver, "latitude": 51.9, "longitude": 4.5, "recordedAt": "2026-03-02T12:00:00Z"}
    server.send(type="room:joined", room=f"driver:{driver}", recovered=False, reason="new", snapshot=value)
    server.send(type="driver:location:update", **value | {"latitude": 52})

    assert await server.take_calls() == [["at", 51.9], ["now at", 52]]


def _event(seq: int, changes: dict[str, Any]) -> dict[str, Any]:
    return {"id": str(seq), "seq": seq, "recordedAt": f"2026-03-02T12:00:{seq:02d}Z", "data": {"changes": changes}}
