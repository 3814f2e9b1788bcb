"""/api/osmand: positions of phone trackers, in each format of a message."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from shipments.api.fleet import osmand
from shipments.auth.subjects import Subject
from shipments.models import DeviceKey, Organization, Position
from shipments.services.fleet import device_keys
from shipments.services.validation import InvalidArgument
from tests import factories
from tests.narrowing import present

PATH = "/api/osmand"
NEW_YORK = {"lat": "40.71", "lon": "-74.01"}


@pytest.fixture
def driver(organization: Organization) -> Subject:
    return factories.member(organization, "driver")


@pytest.fixture
def key(driver: Subject, dispatcher: Subject) -> str:
    _, secret = device_keys.create(
        by=dispatcher, now=timezone.now(), driver_id=present(driver.driver_id), name="Phone"
    )
    return secret


def get(**parameters: Any) -> Any:
    return Client(raise_request_exception=False).get(PATH, parameters)


def post(body: str | bytes, content_type: str, query: str = "") -> Any:
    return Client(raise_request_exception=False).post(f"{PATH}?{query}", body, content_type=content_type)


def latest_position(driver: Subject) -> Position:
    return Position.objects.filter(driver_id=present(driver.driver_id)).latest("recorded_at")


def test_a_position_in_the_query_is_stored(driver: Subject, key: str) -> None:
    now = timezone.now().replace(microsecond=0)

    answer = get(
        id=key, lat="52.37", lon="4.89", timestamp=int(now.timestamp()), speed="10", bearing="90.5",
        altitude="3", accuracy="8.0", batt="71", hdop="1",
    )  # fmt: skip

    assert (answer.status_code, answer.content) == (200, b"")
    position = latest_position(driver)
    assert (position.latitude, position.longitude) == (52.37, 4.89)
    assert (position.recorded_at, position.bearing) == (now, 90.5)
    assert position.speed == pytest.approx(5.144, abs=0.001)  # ten knots
    assert position.accuracy == 8.0


@pytest.mark.parametrize("method", ["query", "form"])
def test_a_post_is_accepted_as_query_or_form(driver: Subject, key: str, method: str) -> None:
    body = urlencode({"deviceid": key, "lat": 52.37, "lon": 4.89, "heading": 1, "speed": -1})

    answer = post(b"", "text/plain", body) if method == "query" else post(body, "application/x-www-form-urlencoded")

    assert (answer.status_code, answer.content) == (200, b"")
    assert (latest_position(driver).bearing, latest_position(driver).speed) == (1.0, None)


def test_the_json_of_traccar_client_9_is_accepted(driver: Subject, key: str) -> None:
    at = timezone.now().replace(microsecond=0)
    message = {
        "location": {
            "timestamp": at.isoformat().replace("+00:00", "Z"),
            "coords": {
                "latitude": 52.37, "longitude": 4.89, "accuracy": 12, "speed": 5.5, "heading": -1, "altitude": 2,
            },
            "is_moving": True, "odometer": 10, "event": "motionchange",
            "battery": {"level": 0.8, "is_charging": False}, "activity": {"type": "still"}, "extras": {},
        },
        "device_id": key,
    }  # fmt: skip

    answer = post(orjson.dumps(message), "application/json; charset=utf-8")

    assert (answer.status_code, answer.content) == (200, b"")
    position = latest_position(driver)
    assert (position.recorded_at, position.accuracy, position.speed, position.bearing) == (at, 12.0, 5.5, None)


AT = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1772452805", AT),
        ("1772452805000", AT),
        ("1772452805123", AT + timedelta(milliseconds=123)),
        (1772452805, AT),
        ("2026-03-02T12:00:05Z", AT),
        ("2026-03-02T13:00:05.000+01:00", AT),
        ("2026-03-02 12:00:05", AT),
        ("", None),
        (None, None),
    ],
)
def test_each_format_of_a_timestamp_is_parsed(text: Any, at: datetime | None) -> None:
    [report] = osmand.parse_reports({"lat": "1", "lon": "2", "timestamp": text})

    assert report.recorded_at == at


@pytest.mark.parametrize("text", ["0", "soon", "9" * 16, "-1", "1e999", "2026-13-01", True, [], {}])
def test_malformed_timestamps_are_refused(text: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        osmand.parse_reports({"lat": "1", "lon": "2", "timestamp": text})

    assert refused.value.field == "timestamp"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"lat": "52.37"},
        {"lat": "NaN", "lon": "4.89"},
        {"lat": "1e999", "lon": "4.89"},
        {"lat": "fifty", "lon": "4.89"},
        {"lat": "91", "lon": "4.89"},
        {"lat": "52.37", "lon": "-200"},
        {"lat": "52.37", "lon": "4.89", "accuracy": "1e12"},
        {"lat": "52.37", "lon": "4.89", "timestamp": "soon"},
        {"lat": "52.37", "lon": "4.89", "timestamp": "4102444800"},
    ],
)
def test_an_invalid_position_is_refused_in_plain_text(driver: Subject, key: str, parameters: Any) -> None:
    answer = get(id=key, **parameters)

    assert answer.status_code == 400
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert key.encode() not in answer.content
    assert not Position.objects.filter(driver_id=present(driver.driver_id)).exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"device_id":7}', "application/json", 401),
        (b'{"location":{}}', "application/json", 401),
        (b"x" * (1024 * 1024 + 1), "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(2000)), "application/x-www-form-urlencoded", 400),
        (b"\xff=\xfe", "application/x-www-form-urlencoded", 401),
        (b"", "text/plain", 401),
    ],
)
def test_an_invalid_body_is_refused_in_plain_text(db: None, body: bytes, content_type: str, status: int) -> None:
    answer = post(body, content_type)

    assert answer.status_code == status
    assert answer["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("coords", [None, [], {}, {"latitude": "x", "longitude": 1}, {"latitude": True}])
def test_json_without_coordinates_is_refused(driver: Subject, key: str, coords: Any) -> None:
    answer = post(orjson.dumps({"device_id": key, "location": {"coords": coords}}), "application/json")

    assert answer.status_code == 400


@pytest.mark.parametrize("key", ["frd_unknown-unknown-unknow", "", "x" * 5000, "\0", "\udcff"])
def test_an_unknown_key_is_401(db: None, key: str) -> None:
    answer = post(
        urlencode({"id": key.encode("utf-8", "surrogatepass"), "lat": 1, "lon": 2}),
        "application/x-www-form-urlencoded",
    )

    assert answer.status_code == 401
    assert answer["Content-Type"] == "text/plain; charset=utf-8"


def test_a_bearer_header_is_not_accepted(organization: Organization, key: str) -> None:
    answer = Client().get(PATH, {"lat": 1, "lon": 2}, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 401


def test_a_revoked_key_is_refused_at_once(driver: Subject, dispatcher: Subject, key: str) -> None:
    place = {"lat": "52.37", "lon": "4.89"}
    before = get(id=key, **place).status_code

    device_keys.revoke(
        by=dispatcher,
        now=timezone.now(),
        driver_id=present(driver.driver_id),
        key_id=DeviceKey.objects.get(driver_id=present(driver.driver_id)).pk,
    )

    assert (before, get(id=key, **place).status_code) == (200, 401)


def test_positions_that_a_retry_would_not_change_are_acknowledged(driver: Subject, key: str) -> None:
    """A tracker retries a refused position for ever, and holds back all later ones."""
    get(id=key, lat="52.37", lon="4.89")
    old = int((timezone.now() - timedelta(days=20)).timestamp())

    answers = [get(id=key, **NEW_YORK), get(id=key, **NEW_YORK, timestamp=old), get(id=key, valid="false")]

    assert [(each.status_code, each.content) for each in answers] == [(200, b"")] * 3
    assert Position.objects.filter(driver_id=present(driver.driver_id), plausible=True).count() == 1


def test_each_device_key_has_its_own_general_limit(driver: Subject, key: str, settings: Any) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (2, 900)}
    place = {"lat": "52.37", "lon": "4.89"}

    answers = [get(id=key, **place) for _ in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[0]["RateLimit-Policy"] == '"general";q=2;w=900'
    assert int(answers[2]["Retry-After"]) > 0


def test_the_use_of_a_key_is_recorded(driver: Subject, key: str) -> None:
    get(id=key, lat="52.37", lon="4.89")

    assert DeviceKey.objects.get(driver_id=present(driver.driver_id)).last_used_at is not None


def test_another_method_is_refused_in_plain_text(db: None) -> None:
    answer = Client().delete(PATH)

    assert answer.status_code in {401, 405}
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
