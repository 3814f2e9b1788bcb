"""No text that only staff may see shows at any door to a customer or a tracking link; and staff do see them."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from exports.background import export_worker
from exports.reports.definitions import REPORTS
from tests.drills.harness.product_stage import ProductStage
from tests.journeys.visibility import audiences, live
from tests.journeys.visibility.audiences import Audience
from tests.journeys.visibility.doors import FORMATS, Look, RestWalk, column_groups, look, walk_pages
from tests.journeys.visibility.world import World

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
CUSTOMERS = ("customer", "customer's key")
LINKS = ("link of staff", "link of the customer")
STAFF = ("admin", "auditor", "dispatcher")


@pytest.fixture
def world(product: ProductStage, committed: None) -> World:
    made = World()
    with httpx.Client(base_url=product.api.url, timeout=30) as http:
        made.run_of_staff(http)
    return made


def hidden_from(world: World, viewer: str) -> set[str]:
    """Return the marks that a viewer may not see: of fields that are all for others."""
    levels = [Audience.EVERYBODY, Audience.CUSTOMER, Audience.STAFF, Audience.NOBODY]
    own = Audience.EVERYBODY if viewer in LINKS else Audience.CUSTOMER if viewer in CUSTOMERS else Audience.STAFF
    table = audiences.audiences()
    return {
        mark
        for mark, fields in world.marks.fields.items()
        if min(levels.index(table[name]) for name in fields) > levels.index(own)
    }


def leaks(world: World, viewer: str, looks: Iterator[Look]) -> dict[str, dict[str, list[str]]]:
    """Return where marks stand that the viewer may not see: the fields by mark, by door."""
    hidden, found = hidden_from(world, viewer), {}
    for each in looks:
        if seen := world.marks.in_text(each.text) & hidden:
            found[f"{each.door} → {each.status}"] = {mark: sorted(world.marks.fields[mark]) for mark in seen}
    return found


def test_every_stored_text_has_an_audience_and_is_planted(world: World) -> None:
    table = audiences.audiences()
    planted = {name for fields in world.marks.fields.values() for name in fields}

    assert set(audiences.stored_texts()) == set(table) | audiences.PUBLIC
    assert set(table) & audiences.PUBLIC == set()
    assert planted == set(table) - audiences.UNPLANTED


@pytest.mark.parametrize("viewer", CUSTOMERS + LINKS)
def test_no_answer_of_rest_tells_it(product: ProductStage, world: World, viewer: str) -> None:
    walk = RestWalk(product.api.url, world.viewers[viewer], world)
    statuses: dict[int, int] = defaultdict(int)

    def counted(looks: Iterator[Look]) -> Iterator[Look]:
        for each in looks:
            statuses[each.status] += 1
            yield each

    found = leaks(world, viewer, counted(walk.reads())) | leaks(world, viewer, counted(walk.writes()))
    walk.close()

    assert found == {}
    assert statuses[200] > 5
    assert not [status for status in statuses if status >= 500]


@pytest.mark.parametrize("viewer", CUSTOMERS)
def test_no_search_finds_a_shipment_by_it(product: ProductStage, world: World, viewer: str) -> None:
    walk = RestWalk(product.api.url, world.viewers[viewer], world)
    found = {mark: results for mark, results in walk.searches() if results and mark in hidden_from(world, viewer)}
    walk.close()

    assert found == {}


@pytest.mark.parametrize("viewer", STAFF[:1] + CUSTOMERS[:1])
def test_a_file_of_a_background_export_holds_what_the_stream_holds(
    product: ProductStage, world: World, viewer: str
) -> None:
    looks = []
    with httpx.Client(base_url=product.api.url, timeout=60, headers=world.viewers[viewer].headers) as http:
        for report in set(REPORTS) - ({"audit"} if viewer == "customer" else set()):
            for extension, columns in [(each, group) for each in FORMATS for group in column_groups(report, each)]:
                order = {"report": report, "format": extension, "fields": columns}
                created = http.post("/api/exports", json=order)
                assert created.status_code == 202, created.text
                while export_worker.work_batch():
                    pass
                target = f"/api/exports/{created.json()['id']}/file"
                looks += [look(http.get(target), target), look(http.get(target[:-5]), target[:-5])]

    assert leaks(world, viewer, iter(looks)) == {}
    assert {each.status for each in looks} == {200}


def test_no_page_tells_it(product: ProductStage, world: World) -> None:
    looks = list(walk_pages(product.api.url, world.viewers["customer"]))

    assert leaks(world, "customer", iter(looks)) == {}
    assert [each.status for each in looks].count(200) >= 6


@pytest.mark.parametrize("viewer", ["customer", *LINKS])
def test_no_frame_and_no_stream_tells_it(product: ProductStage, world: World, viewer: str) -> None:
    closed = live.closed_rooms(world)
    with ExitStack() as stack, httpx.Client(base_url=product.api.url, timeout=30) as http:
        events = http.get(
            f"/api/shipments/{live.REFERENCE}/events", headers=world.viewers["dispatcher"].headers
        ).json()
        everybody = [world.viewers[name] for name in (viewer, "dispatcher")]
        sockets = [
            live.Socket(daphne, each, since=since, epoch=events["epoch"], stack=stack)
            for each in everybody
            for daphne, since in zip(product.ws, (None, 0), strict=True)
        ]
        streams = [
            live.Stream(product.ws[0], world.viewers[viewer], last=last, stack=stack)
            for last in ("", f"{events['epoch']}:0")
        ]
        seq = live.change_everything(http, world)
        for socket in sockets:
            socket.read_until("shipment:update", seq)
        for stream in streams:
            stream.read_until(seq)
        sockets[0].ask_for(closed)

    seen = [each for socket in sockets if socket.viewer.name == viewer for each in socket.looks(closed)]
    seen += [each for stream in streams for each in stream.looks()]
    told = {mark for socket in sockets[2:] for each in socket.looks([]) for mark in world.marks.in_text(each.text)}
    assert leaks(world, viewer, iter(seen)) == {}
    assert {name for mark in told for name in world.marks.fields[mark]} >= {
        "Shipment.flags", "Checkpoint.void_reason", "ShipmentEvent.actor_id", "Customer.name", "ShipmentEvent.data",
        "ShipmentEvent.request_id",
    }  # fmt: skip


def test_staff_see_all_of_it(product: ProductStage, world: World) -> None:
    seen: set[str] = set()
    for viewer in STAFF:
        walk = RestWalk(product.api.url, world.viewers[viewer], world)
        looks = list(walk.reads())
        walk.close()
        assert leaks(world, viewer, iter(looks)) == {}
        seen |= {mark for each in looks for mark in world.marks.in_text(each.text)}
    table = audiences.audiences()
    fields = {name for mark in seen for name in world.marks.fields[mark]}

    assert {name for name, audience in table.items() if audience in {Audience.STAFF, Audience.CUSTOMER}} <= fields
