"""Clients that generators make of the OpenAPI document are importable as a whole, and read and write for real."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from drf_spectacular.generators import SchemaGenerator

from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.journeys import clients

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
_BIN = Path(sys.executable).parent
_IMPORT_ALL = """
import importlib, pkgutil
def import_all(package):
    names = [each.name for each in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    return [importlib.import_module(name) for name in names]
"""
# Each books a shipment or adds a customer, reads it again, and meets an error.
PROGRAMS = {
    "openapi-python-client": """
import os, made
from made.client import AuthenticatedClient
from made.api.shipments import book_shipment, get_shipment
from made.models import Problem, ShipmentBookingRequest
assert len(import_all(made)) > 250
with AuthenticatedClient(os.environ["URL"], os.environ["TOKEN"], raise_on_unexpected_status=True) as client:
    order = ShipmentBookingRequest("NLRTM", "DEHAM", reference="MADE-1")
    booked = book_shipment.sync(client=client, body=order, idempotency_key="made-1")
    shown = get_shipment.sync("MADE-1", client=client)
    assert (booked.seq, shown.reference, shown.origin.locode) == (1, "MADE-1", "NLRTM")
    missing = get_shipment.sync("MADE-2", client=client)
    assert isinstance(missing, Problem) and missing.code == "not_found"
""",
    "openapi-python-generator": """
import os, made
from made.api_config import APIConfig, HTTPException
from made.models import CustomerOpeningRequest
from made.services.customers_service import addCustomer, getCustomer
assert len(import_all(made)) > 100
config = APIConfig(base_path=os.environ["URL"], access_token=os.environ["TOKEN"])
wish = CustomerOpeningRequest(name="Made", email="desk@made.example", phone="1")
added = addCustomer(config, data=wish, Idempotency_Key="made-2")
assert getCustomer(config, customer_id=added.id).name == "Made"
try:
    getCustomer(config, customer_id="01a22fd8-0000-7000-8000-000000000000")
    raise AssertionError("There is no such customer.")
except HTTPException as error:
    assert error.status_code == 404
""",
}


def generate(generator: str, folder: Path) -> None:
    """Make the package `made` in the folder."""
    document, made = folder / "openapi.json", folder / "made"
    # As it is served: lazy texts are plain ones there.
    document.write_bytes(orjson.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    configuration = folder / "configuration.yml"
    configuration.write_text("post_hooks: []\n")
    arguments: list[str | Path] = ["--formatter", "none", document, made]
    if generator == "openapi-python-client":
        arguments = [
            "generate",
            "--path",
            document,
            "--output-path",
            made,
            "--meta",
            "none",
            "--config",
            configuration,
        ]
    subprocess.run([_BIN / generator, *arguments], check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("generator", PROGRAMS)
def test_a_generated_client_reads_and_writes(generator: str, product: ProductStage, tmp_path: Path) -> None:
    http = clients.logged_in_client(product.api, factories.organization(), "dispatcher")
    token = str(http.headers["Authorization"]).removeprefix("Bearer ")
    http.close()
    generate(generator, tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL + PROGRAMS[generator]],
        cwd=tmp_path, env=os.environ | {"URL": product.api.url, "TOKEN": token},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr[-2000:] if done.returncode else "") == (0, "")
