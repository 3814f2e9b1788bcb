"""Server-Sent Events from real Daphnes: the same rooms, cursors, permissions and limits as sockets."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from asgiref.sync import sync_to_async

from shipments import services
from shipments.models import Organization
from shipments.services.accounts import api_keys
from shipments.services.feed import sequencer
from tests import factories
from tests.drills.harness import process
from tests.drills.harness.presets import journey_stage
from tests.drills.harness.process import ProductProcess
from tests.drills.harness.product_stage import ProductStage
from tests.factories import NOW
from tests.journeys import clients
from tests.journeys.clients import SocketClient
from tests.journeys.streams import SECONDS, EventStream, open_stream

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


class Case:
    """A dispatcher logged in at the api Daphne, and one shipment."""

    def __init__(self, product: ProductStage) -> None:
        self.organization: Organization = factories.organization()
        self.http: httpx.Client = clients.logged_in_client(product.api, self.organization, "dispatcher")
        self.token = str(self.http.headers["Authorization"])
        self.by = factories.member(self.organization, "dispatcher")
        self.shipment = factories.booked_shipment(self.by)
        self.reference = self.shipment.reference
        self.path = f"/shipments/{self.reference}/stream"

    async def amend(self, *pieces: int) -> None:
        def work() -> None:
            for number in pieces:
                services.amend(by=self.by, now=NOW, reference=self.reference, changes={"pieces": number})
            while sequencer.number_batch():
                pass

        await sync_to_async(work)()


@pytest.fixture
def case(product: ProductStage, committed: None) -> Iterator[Case]:
    created = Case(product)
    yield created
    created.http.close()


def get(daphne: ProductProcess, path: str, **headers: str) -> httpx.Response:
    sent_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"{daphne.url}/api{path}", headers=sent_headers, timeout=SECONDS)


async def test_a_stream_sends_the_state_and_then_every_event_like_a_socket(
    product: ProductStage, case: Case
) -> None:
    async with (
        open_stream(product.ws[0], case.path, case.token) as stream,
        SocketClient(product.ws[1], case.token) as socket,
    ):
        await socket.send(type="join:room", shipmentId=case.reference)
        joined = await socket.receive("room:joined", SECONDS)
        await case.amend(1, 2, 3)
        first, *updates = [await stream.next() for _ in range(4)]
        await socket.receive_updates_until(4, SECONDS)

    assert (first.name, first.payload) == ("snapshot", joined)
    assert [(event.name, event.id) for event in updates] == [
        ("shipment:update", f"{joined['epoch']}:{seq}") for seq in (2, 3, 4)
    ]
    assert [event.payload for event in updates] == socket.frames[-3:]
    headers = stream.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert headers["ratelimit-policy"].startswith('"general"')


async def test_one_cursor_goes_from_socket_to_stream_to_rest_and_back_without_a_gap(
    product: ProductStage, case: Case
) -> None:
    """Close each connection before the next change, so that each one has events to recover."""
    one, other = product.ws
    seqs: list[int] = []
    async with SocketClient(one, case.token) as socket:
        await socket.send(type="join:room", shipmentId=case.reference)
        epoch = (await socket.receive("room:joined", SECONDS))["epoch"]
        await case.amend(1, 2)
        seqs += await socket.receive_updates_until(3, SECONDS)
    await case.amend(3, 4)
    async with open_stream(other, case.path, case.token, last=f"{epoch}:{seqs[-1]}") as stream:
        replay = await stream.next()
        seqs += [event["seq"] for event in replay.payload["events"]]
        await case.amend(5)
        seqs.append((await stream.next()).seq)
    await case.amend(6, 7)
    answer = await asyncio.to_thread(
        case.http.get, f"/shipments/{case.reference}/events", params={"after": seqs[-1], "epoch": epoch}
    )
    seqs += [event["seq"] for event in answer.json()["events"]]
    await case.amend(8)
    async with SocketClient(one, case.token) as socket:
        await socket.send(type="join:room", shipmentId=case.reference, epoch=epoch, since=seqs[-1])
        again = await socket.receive("room:joined", SECONDS)
        seqs += [event["seq"] for event in again["events"]]

    assert (replay.name, replay.payload["recovered"], replay.seq) == ("replay", True, 5)
    assert again["recovered"] is True
    assert seqs == [2, 3, 4, 5, 6, 7, 8, 9]


async def test_a_first_request_may_send_its_cursor_in_the_query(product: ProductStage, case: Case) -> None:
    async with open_stream(product.ws[0], case.path, case.token) as stream:
        cursor = (await stream.next()).id
    await case.amend(1)

    async with open_stream(product.ws[1], f"{case.path}?lastEventId={cursor}", case.token) as again:
        replay = await again.next()

    assert (replay.name, [event["seq"] for event in replay.payload["events"]]) == ("replay", [2])


async def test_a_cursor_of_another_epoch_is_answered_with_a_snapshot(product: ProductStage, case: Case) -> None:
    async with open_stream(product.ws[0], case.path, case.token, last="another:1") as stream:
        event = await stream.next()

    assert (event.name, event.payload["reason"], event.seq) == ("snapshot", "epoch", 1)


async def test_the_feed_streams_and_is_resumed(product: ProductStage, case: Case) -> None:
    await case.amend(1)
    async with open_stream(product.ws[0], "/events/stream", case.token) as stream:
        snapshot = await stream.next()
        await case.amend(2)
        update = await stream.next()
    await case.amend(3, 4)

    async with open_stream(product.ws[1], "/events/stream", case.token, last=update.id) as again:
        replay = await again.next()

    assert (snapshot.payload["room"], snapshot.payload["snapshot"]) == ("shipments:all", {"seq": 2})
    assert (update.seq, update.payload["event"]["seq"], update.payload["shipmentId"]) == (3, 3, case.reference)
    assert [event["position"] for event in replay.payload["events"]] == [4, 5]


async def test_the_stream_of_a_discarded_draft_ends_with_room_left(product: ProductStage, case: Case) -> None:
    draft = await sync_to_async(factories.booked_shipment)(case.by, status="draft")
    async with open_stream(product.ws[0], f"/shipments/{draft.reference}/stream", case.token) as stream:
        await stream.next()
        await sync_to_async(services.discard)(by=case.by, now=NOW, reference=draft.reference)
        rest = await stream.rest()

    assert [event.name for event in rest] == ["shipment:update", "room:left"]
    assert rest[-1].payload["reason"] == "deleted"
    gone = get(product.ws[0], f"/shipments/{draft.reference}/stream", Authorization=case.token)
    assert gone.status_code == 404


async def test_a_stream_ends_with_its_credentials(product: ProductStage, case: Case) -> None:
    def key() -> str:
        now = datetime.now(UTC)
        return api_keys.create(
            by=case.by, now=now, name="brief", scopes=["shipments:read"], expires_at=now + timedelta(seconds=4)
        )[1]

    token = f"Bearer {await sync_to_async(key)()}"
    async with open_stream(product.ws[0], case.path, token) as stream:
        events = await stream.rest()

    assert sorted(event.name for event in events) == ["snapshot", "token:expiring"]
    assert get(product.ws[0], case.path, Authorization=token).status_code == 401


async def test_a_revoked_login_ends_its_stream_within_seconds(product: ProductStage, case: Case) -> None:
    http = await sync_to_async(clients.logged_in_client)(product.api, case.organization, "dispatcher")
    token = str(http.headers["Authorization"])
    async with open_stream(product.ws[0], case.path, token) as stream:
        await stream.next()
        await asyncio.to_thread(http.post, "/auth/logout")
        rest = await stream.rest()
    http.close()

    assert rest == []
    assert get(product.ws[0], case.path, Authorization=token).status_code == 401


async def test_a_reassigned_shipment_ends_the_stream_of_its_driver(product: ProductStage, case: Case) -> None:
    def assign() -> httpx.Client:
        driver = factories.driver(case.organization)
        services.amend(by=case.by, now=NOW, reference=case.reference, changes={"driver_id": driver.pk})
        return clients.logged_in_client(product.api, case.organization, "driver", driver=driver)

    http = await sync_to_async(assign)()
    async with open_stream(product.ws[0], case.path, str(http.headers["Authorization"])) as stream:
        await stream.next()
        other = await sync_to_async(factories.driver)(case.organization)
        await sync_to_async(services.amend)(
            by=case.by, now=NOW, reference=case.reference, changes={"driver_id": other.pk}
        )
        rest = await stream.rest()
    http.close()

    assert (rest[-1].name, rest[-1].payload["reason"]) == ("room:left", "forbidden")


def test_a_refused_request_is_answered_with_a_problem(product: ProductStage, case: Case) -> None:
    stranger = factories.member(factories.organization(), "dispatcher")
    foreign = factories.booked_shipment(stranger).reference
    ws, token = product.ws[0], case.token

    answers = {
        "anonymous": get(ws, case.path),
        "nonsense": get(ws, case.path, Authorization="Bearer nonsense"),
        "foreign": get(ws, f"/shipments/{foreign}/stream", Authorization=token),
        "missing": get(ws, "/shipments/NOT-THERE/stream", Authorization=token),
        "glob": get(ws, "/shipments/*/stream", Authorization=token),
        "cursor": get(ws, case.path, Authorization=token, Last_Event_ID="nonsense"),
        "parameter": get(ws, f"{case.path}?token=secret", Authorization=token),
        "method": httpx.post(f"{ws.url}/api{case.path}", headers={"Authorization": token}),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "anonymous": 401, "nonsense": 401, "foreign": 404, "missing": 404, "glob": 404, "cursor": 400,
        "parameter": 400, "method": 405,
    }  # fmt: skip
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/problem+json"}
    changing = {"instance": "", "requestId": ""}
    assert answers["foreign"].json() | changing == answers["missing"].json() | changing
    assert answers["anonymous"].headers["www-authenticate"] == 'Bearer realm="freight"'
    assert "secret" not in answers["parameter"].text


def test_the_feed_is_only_for_roles_that_see_every_shipment(product: ProductStage, case: Case) -> None:
    driver = factories.driver(case.organization)
    with contextlib.closing(
        clients.logged_in_client(product.api, case.organization, "driver", driver=driver)
    ) as http:
        answer = get(product.ws[0], "/events/stream", Authorization=str(http.headers["Authorization"]))

    assert answer.status_code == 404


async def test_a_page_opens_a_stream_by_its_session_unless_it_is_of_another_site(
    product: ProductStage, case: Case
) -> None:
    def log_in() -> str:
        from django.test import Client  # here, as only this test logs in like a page

        client = Client()
        client.force_login(factories.user(case.organization, "dispatcher"))
        return f"sessionid={client.cookies['sessionid'].value}"

    cookie = await sync_to_async(log_in)()
    address = f"{product.ws[0].url}/api{case.path}"
    async with (
        httpx.AsyncClient(timeout=SECONDS, headers={"Cookie": cookie}) as http,
        http.stream("GET", address, headers={"Sec-Fetch-Site": "same-origin"}) as response,
    ):
        event = await EventStream(response).next()
    foreign_headers = [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
    refused = [get(product.ws[0], case.path, Cookie=cookie, **headers) for headers in foreign_headers]

    assert event.name == "snapshot"
    assert [answer.status_code for answer in refused] == [403, 403]


async def test_a_draining_process_ends_its_streams_sockets_and_polls(
    product: ProductStage, case: Case, tmp_path: Path
) -> None:
    with journey_stage(tmp_path, [process.ws()], **product.environment) as stage:
        daphne = stage["ws-1"]
        async with (
            open_stream(daphne, case.path, case.token) as stream,
            SocketClient(daphne, case.token) as socket,
            httpx.AsyncClient(base_url=f"{daphne.url}/api", timeout=SECONDS) as http,
        ):
            first = await stream.next()
            await socket.receive("welcome", SECONDS)
            events = f"/shipments/{case.reference}/events?after=1&wait=25"
            poll = asyncio.create_task(http.get(events, headers={"Authorization": case.token}))
            await asyncio.sleep(1)  # nothing shows from outside that the poll waits
            daphne.signal(signal.SIGTERM)
            rest = await stream.rest()
            drain_frame = await socket.receive("drain", SECONDS)
            await socket.connection.wait_closed()
            answer = await poll
        status = await asyncio.to_thread(daphne.handle.wait, SECONDS)

    assert [event.name for event in rest] == ["drain"]
    assert rest[0].payload["retryMs"] >= 500
    assert (drain_frame["type"], socket.connection.close_code) == ("drain", 4503)
    assert (answer.status_code, answer.json()["events"]) == (200, [])
    assert status == 0
    async with open_stream(product.ws[0], case.path, case.token, last=first.id) as again:
        assert (await again.next()).name == "replay"
