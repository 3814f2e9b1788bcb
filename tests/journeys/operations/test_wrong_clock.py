"""A host whose clock is ten minutes off: what it stores and refuses follows the database's, and health says so."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.drills.harness import failpoints, fixtures
from tests.drills.harness.environment import database_url
from tests.drills.harness.presets import settings_stage
from tests.drills.harness.process import ProductProcess, api

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]
_TOLERANCE = timedelta(seconds=20)


@pytest.fixture(params=[failpoints.CLOCK_AHEAD, failpoints.CLOCK_BEHIND])
def wrong_clock(request: pytest.FixtureRequest) -> Iterator[ProductProcess]:
    """Start an api process, and start it again with a clock that is ten minutes ahead or behind."""
    environment = {"DATABASE_URL": database_url(), "HTTPS": "0"}
    with settings_stage("clock", api(), fork=True, **environment) as stage:
        stage.api.kill()
        stage.api.launch(failpoint=request.param)
        stage.api.wait_ready()
        yield stage.api


def test_times_follow_the_database_and_health_names_the_clock(wrong_clock: ProductProcess) -> None:
    fixtures.locations()
    _, key = fixtures.dispatcher_with_key(fixtures.organization(), ["shipments:read", "shipments:write"])
    with httpx.Client(base_url=wrong_clock.url, headers={"Authorization": f"Bearer {key}"}) as client:
        booked = client.post("/api/shipments", json={"origin": "NLRTM", "destination": "DEHAM", "status": "booked"})
        assert booked.status_code == 201, booked.text
        path = f"/api/shipments/{booked.json()['reference']}/transitions"

        seen = datetime.now(UTC)
        done = client.post(path, json={"to": "dispatched", "occurredAt": seen.isoformat()})
        refused = client.post(
            path, json={"to": "in_transit", "occurredAt": (seen + timedelta(minutes=9)).isoformat()}
        )
        health = httpx.get(f"{wrong_clock.url}/api/metrics/health").json()
        detail = httpx.get(f"{wrong_clock.url}/api/health/detailed").json()["checks"]["clock"]
        scraped = httpx.get(f"{wrong_clock.url}/api/metrics").text

    assert done.status_code == 200, done.text
    assert abs(datetime.fromisoformat(done.json()["updatedAt"]) - seen) < _TOLERANCE
    assert refused.status_code == 400
    assert f"it is {seen:%Y-%m-%dT}" in refused.text
    assert [issue for issue in health["issues"] if issue.startswith("clock: is 600 s ")], health
    assert (detail["status"], round(abs(detail["skewSeconds"]), -1)) == ("warning", 600)
    assert "clock_skew_seconds{" in scraped
