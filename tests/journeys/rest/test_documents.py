"""Papers through a real server: proof posted as a form, printed as pages, while the event loop turns."""

import io
import threading
import time
from contextlib import closing

import httpx
import pytest
from PIL import Image

from tests import factories
from tests.drills.harness.daphnes import ProductDaphnes
from tests.exports import pdf_reader
from tests.journeys import clients

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


def photo() -> bytes:
    """Return a picture of more than 2.5 MiB, which a server keeps in a file while it reads the form."""
    target = io.BytesIO()
    Image.effect_noise((2400, 1800), 90).convert("RGB").save(target, "JPEG", quality=95)
    return target.getvalue()


def test_a_proof_is_posted_and_printed_while_the_server_answers(product: ProductDaphnes) -> None:
    house = factories.organization()
    shipment = factories.booked_shipment(factories.member(house, "dispatcher"))
    raw = photo()
    stopped, liveness_results = threading.Event(), []

    def poll_liveness() -> None:
        while not stopped.is_set():
            began = time.monotonic()
            liveness_results.append(
                (httpx.get(f"{product.api.url}/api/health/live", timeout=10), time.monotonic() - began)
            )
            time.sleep(0.02)

    with closing(clients.logged_in_client(product.api, house, "dispatcher")) as http:
        http.timeout = httpx.Timeout(60)
        watcher = threading.Thread(target=poll_liveness)
        watcher.start()
        posted = http.post(
            f"/shipments/{shipment.reference}/pod",
            data={"signerName": "Erika Mustermann"}, files={"photo": ("x.jpg", raw, "image/jpeg")},
        )  # fmt: skip
        papers = [
            http.get(f"/shipments/{shipment.reference}/documents/{kind}.pdf") for kind in ("pod", "bol", "label")
        ]
        report = http.get("/exports/shipments.pdf")
        stopped.set()
        watcher.join()

    assert (2_600_000 < len(raw) < 5_000_000, posted.status_code) == (True, 201)
    assert [paper.status_code for paper in (*papers, report)] == [200] * 4
    assert "Erika Mustermann" in pdf_reader.text(papers[0].content)
    assert report.headers["X-Freight-Rows"] == "1"
    # Drawing takes seconds of CPU; the loop that answers this does none of it.
    assert {answer.status_code for answer, _ in liveness_results} == {200}
    assert sorted(took for _, took in liveness_results)[len(liveness_results) // 2] < 0.5
