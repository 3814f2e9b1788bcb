"""What the examples of the OpenAPI document are about: one organisation with the objects that they name."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from exports.background import export_worker
from exports.models import Export
from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.services.accounts import logins
from shipments.services.feed import sequencer
from tests import factories
from tests.shipments.api.client import Api

_IDS = "01a22fd8-0000-7000-8000-00000000000"
_SHIPMENT = "/api/shipments/SHIP-000001"
_CSV = b"Reference,Origin,Destination\nSHIP-000008,NLRTM,DEHAM\n"


class World:
    """The objects, and what stands for each of them in an example."""

    def __init__(self) -> None:
        self.organization = factories.organization()
        driver = factories.driver(self.organization)
        person = factories.user(self.organization, "dispatcher", password=factories.PASSWORD)
        login = logins.login(
            email=person.email, password=factories.PASSWORD, origin=logins.Origin("127.0.0.1", ""),
            now=datetime.now(UTC),
        )  # fmt: skip
        dispatcher = bearers.authenticate(login.access, now=datetime.now(UTC))
        assert dispatcher is not None
        self.dispatcher: Subject = dispatcher
        self.others = {
            "reportPositions": replace(dispatcher, scopes=frozenset({"positions:write"}), login_id=None),
            "reportLocation": factories.member(self.organization, "driver", driver=driver),
            "listAuditLog": factories.member(self.organization, "admin"),
            "exportAudit": factories.member(self.organization, "admin"),
        } | dict.fromkeys(("login", "refreshLogin", "reportByTracker", "reportByTrackerBody"))
        self.substitutes: dict[str, str] = {}
        self._stands_for("2026-03-02T11:58:00Z", f"{datetime.now(UTC) - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}")
        self._stands_for("dispatcher@example.test", person.email)
        self._stands_for("<refresh>", login.refresh)
        self._stands_for(f"{_IDS}1", driver.pk)
        self._add_objects(driver.pk)

    def _add_objects(self, driver_id: uuid.UUID) -> None:
        used, unused = factories.customer(self.organization), factories.customer(self.organization, "Nobody's")
        for reference, more in (
            ("SHIP-000001", {"driver_id": driver_id, "customer_id": used.pk}),
            ("SHIP-000002", {"status": "draft"}),
        ):
            factories.booked_shipment(self.dispatcher, reference=reference, **more)
        self._post(f"{_SHIPMENT}/transitions", {"to": "dispatched", "occurredAt": "2026-03-02T12:30:00Z"})
        estimate = {"classifier": "EST", "occurredAt": "2026-03-05T16:00:00Z", "source": "carrier:ACME"}
        checkpoint = self._post(f"{_SHIPMENT}/checkpoints", estimate)
        self._post(f"{_SHIPMENT}/flags", {"flag": "delayed", "reason": "Low water."})
        link = self._post(f"{_SHIPMENT}/tracking-links", {"days": 14})
        device = self._post(f"/api/drivers/{driver_id}/device-keys", {"name": "Dana's phone"})
        key = self._post("/api/auth/api-keys", {"name": "carrier feed", "scopes": ["shipments:read"]})
        numbered = {2: used.pk, 9: unused.pk, 3: checkpoint["id"], 4: link["id"], 5: device["id"], 6: key["id"]}
        for number, real in numbered.items():
            self._stands_for(f"{_IDS}{number}", real)
        self._stands_for("<device key>", device["secret"])
        while sequencer.number_batch():
            pass
        self._stands_for('"4.0f3a5c1e"', Api(self.dispatcher).get(_SHIPMENT)["ETag"])

    def add_jobs(self) -> None:
        """Add a finished export and a queued import; they are committed."""
        export = self._post("/api/exports", {"report": "shipments", "format": "csv"})
        while Export.objects.get(pk=export["id"]).state == Export.State.QUEUED:
            export_worker.work_batch()
        imported = Api(self.dispatcher).post("/api/imports/shipments", _CSV, content_type="text/csv").json()
        self._stands_for(f"{_IDS}7", export["id"])
        self._stands_for(f"{_IDS}8", imported["id"])

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        response = Api(self.dispatcher).post(path, body)
        assert response.status_code < 300, response.content
        answer: dict[str, Any] = response.json()
        return answer

    def _stands_for(self, written: str, real: object) -> None:
        self.substitutes[_inside_json(written)] = _inside_json(str(real))

    def real(self, example: Any) -> Any:
        """Return the example with the world's own values in it."""
        text = orjson.dumps(example).decode()
        for written, real in self.substitutes.items():
            text = text.replace(written, real)
        return orjson.loads(text)

    def written(self, body: Any) -> Any:
        """Return an answer as an example has it."""
        text = orjson.dumps(body).decode()
        for written, real in self.substitutes.items():
            text = text.replace(real, written)
        return orjson.loads(text)

    def caller(self, operation: str) -> Subject | None:
        """Return who makes the request."""
        return self.others.get(operation, self.dispatcher)


def _inside_json(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]
