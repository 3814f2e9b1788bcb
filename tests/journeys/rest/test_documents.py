"""Documents through a real server: a proof of delivery is posted and drawn without blocking the event loop."""

import io
import threading
import time
from contextlib import closing

import httpx
import pytest
from PIL import Image

from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.exports import pdf_reader
from tests.journeys import clients

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]


def photo() -> bytes:
    """Return a picture above 2.5 MiB, the size from which Django spools an upload to a file."""
    target = io.BytesIO()
    Image.effect_noise((2400, 1800), 90).convert("RGB").save(target, "JPEG", quality=95)
    return target.getvalue()


def test_drawing_documents_does_not_block_other_requests(product: ProductStage) -> None:
    organization = factories.organization()
    shipment = factories.booked_shipment(factories.member(organization, "dispatcher"))
    raw = photo()
    stopped, liveness_results = threading.Event(), []

    def poll_liveness() -> None:
        while not stopped.is_set():
            started = time.monotonic()
            response = httpx.get(f"{product.api.url}/api/health/live", timeout=10)
            liveness_results.append((response.status_code, time.monotonic() - started))
            time.sleep(0.02)

    with closing(clients.logged_in_client(product.api, organization, "dispatcher")) as http:
        http.timeout = httpx.Timeout(60)
        poller = threading.Thread(target=poll_liveness)
        poller.start()
        proof = http.post(
            f"/shipments/{shipment.reference}/pod",
            data={"signerName": "Erika Mustermann"}, files={"photo": ("x.jpg", raw, "image/jpeg")},
        )  # fmt: skip
        documents = [
            http.get(f"/shipments/{shipment.reference}/documents/{kind}.pdf") for kind in ("pod", "bol", "label")
        ]
        report = http.get("/exports/shipments.pdf")
        stopped.set()
        poller.join()

    assert (2_600_000 < len(raw) < 5_000_000, proof.status_code) == (True, 201)
    assert [response.status_code for response in (*documents, report)] == [200] * 4
    assert "Erika Mustermann" in pdf_reader.text(documents[0].content)
    assert report.headers["X-Freight-Rows"] == "1"
    # Drawing takes seconds of CPU, none of them in the event loop.
    assert {status for status, _ in liveness_results} == {200}
    assert sorted(seconds for _, seconds in liveness_results)[len(liveness_results) // 2] < 0.5
