"""What the tests with hostile clients share: an account, raw frames, and a check that the servers stay healthy."""

import contextlib
from collections.abc import Iterator

import psutil

from shipments.models import Shipment
from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.freight.server.server_process import client_frame
from tests.journeys.clients import SocketClient
from tests.journeys.credentials import MemberCredentials, create_member_credentials

MAX_MEMORY_GROWTH = 50 * 1024 * 1024


class Case:
    """A member with one shipment, and a shipment of another organisation."""

    def __init__(self) -> None:
        organization = factories.organization()
        self.credentials: MemberCredentials = create_member_credentials(organization, "dispatcher")
        self.shipment: Shipment = factories.booked_shipment(factories.member(organization, "dispatcher"))
        stranger = factories.member(factories.organization(), "dispatcher")
        self.foreign: Shipment = factories.booked_shipment(stranger)


@contextlib.contextmanager
def checked_health(product: ProductStage) -> Iterator[None]:
    """Check at the end of a `with` block that the `ws` processes live and have not grown."""
    processes = [psutil.Process(each.pid) for each in product.ws]
    before = [process.memory_info().rss for process in processes]
    yield
    assert all(each.is_alive() for each in product.ws)
    growth = [process.memory_info().rss - was for process, was in zip(processes, before, strict=True)]
    assert max(growth) < MAX_MEMORY_GROWTH


async def send_raw_frame(socket: SocketClient, payload: bytes, *, opcode: int, final: bool = True) -> None:
    """Write a frame that no client library would send."""
    socket.connection.transport.write(client_frame(payload, opcode=opcode, final=final))
