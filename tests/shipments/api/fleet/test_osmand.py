"""/api/osmand: positions of phone trackers, in each format of a message."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY

from shipments.api.fleet import osmand
from shipments.auth.subjects import Subject
from shipments.models import DeviceKey, DriverPosition, Organization, Position
from shipments.services.fleet import device_keys
from shipments.services.validation import InvalidArgument
from tests import factories
from tests.narrowing import present

PATH = "/api/osmand"
FORM = "application/x-www-form-urlencoded"
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


def ignored(reason: str) -> float:
    return REGISTRY.get_sample_value("positions_ignored_total", {"reason": reason}) or 0.0


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
    report = osmand.parse_report({"lat": "1", "lon": "2", "timestamp": text})

    assert report.recorded_at == at


@pytest.mark.parametrize("text", ["0", "soon", "9" * 16, "-1", "1e999", "2026-13-01", True, [], {}])
def test_malformed_timestamps_are_refused(text: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        osmand.parse_report({"lat": "1", "lon": "2", "timestamp": text})

    assert refused.value.field == "timestamp"


OLD = {"lat": "52.37", "lon": "4.89", "timestamp": "1772452805"}


@pytest.mark.parametrize("method", ["query", "form"])
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "no_coordinates"),
        ({"batt": "81"}, "no_coordinates"),
        ({"lat": "", "lon": ""}, "no_coordinates"),
        ({"lat": "52.37", "lon": "4.89", "valid": "false"}, "no_coordinates"),
        ({"lat": "52.37"}, "unreadable"),
        ({"lat": "NaN", "lon": "4.89"}, "unreadable"),
        ({"lat": "1e999", "lon": "4.89"}, "unreadable"),
        ({"lat": "fifty", "lon": "4.89"}, "unreadable"),
        ({"lat": "52.37", "lon": "4.89", "timestamp": "soon"}, "unreadable"),
        ({"lat": "91", "lon": "4.89"}, "out_of_range"),
        ({"lat": "52.37", "lon": "-200"}, "out_of_range"),
        ({"lat": "52.37", "lon": "4.89", "accuracy": "1e12"}, "out_of_range"),
        ({"lat": "0", "lon": "0"}, "null_island"),
        ({"lat": "0.0000", "lon": "-0.0"}, "null_island"),
        ({"lat": "52.37", "lon": "4.89", "timestamp": "0"}, "too_old"),
        (OLD, "too_old"),
        ({"lat": "52.37", "lon": "4.89", "timestamp": "4102444800"}, "future"),
    ],
)
def test_what_no_retry_would_mend_is_acknowledged_and_counted(
    driver: Subject, key: str, method: str, parameters: Any, reason: str
) -> None:
    before = ignored(reason)

    message = {"id": key, **parameters}
    answer = get(**message) if method == "query" else post(urlencode(message), FORM)

    assert (answer.status_code, answer.content) == (200, b"")
    assert ignored(reason) == before + 1
    assert not Position.objects.filter(driver_id=present(driver.driver_id)).exists()


@pytest.mark.parametrize(
    "measures", [{"bearing": "361"}, {"speed": "5000"}, {"speed": "-1"}, {"accuracy": "-1"}, {"speed": "NaN"}]
)
def test_a_measure_that_cannot_be_does_not_cost_the_position(
    driver: Subject, key: str, measures: dict[str, str]
) -> None:
    answer = get(id=key, lat="52.37", lon="4.89", **measures)

    assert answer.status_code == 200
    position = latest_position(driver)
    assert (position.latitude, position.longitude) == (52.37, 4.89)
    assert (position.accuracy, position.speed, position.bearing) == (None, None, None)


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


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("null", "no_coordinates"),
        ("[]", "no_coordinates"),
        ('{"timestamp":"2026-03-02T12:00:05Z","battery":{"level":0.8}}', "no_coordinates"),
        ('{"coords":null}', "no_coordinates"),
        ('{"coords":[]}', "no_coordinates"),
        ('{"coords":{}}', "no_coordinates"),
        ('{"coords":{"latitude":NaN,"longitude":NaN}}', "no_coordinates"),
        ('{"coords":{"latitude":NaN,"longitude":1}}', "unreadable"),
        ('{"coords":{"latitude":1e999,"longitude":1}}', "unreadable"),
        ('{"coords":{"latitude":"x","longitude":1}}', "unreadable"),
        ('{"coords":{"latitude":true}}', "unreadable"),
        ('{"coords":{"latitude":91,"longitude":1}}', "out_of_range"),
        ('{"coords":{"latitude":0,"longitude":0.0}}', "null_island"),
        ('{"timestamp":"2199-01-01T00:00:00Z","coords":{"latitude":1,"longitude":1}}', "future"),
        ('{"timestamp":"2026-01-01T00:00:00Z","coords":{"latitude":1,"longitude":1}}', "too_old"),
    ],
)
def test_json_that_no_retry_would_mend_is_acknowledged_and_counted(
    driver: Subject, key: str, location: str, reason: str
) -> None:
    before = ignored(reason)

    answer = post(f'{{"device_id":"{key}","location":{location}}}', "application/json")

    assert (answer.status_code, answer.content) == (200, b"")
    assert ignored(reason) == before + 1
    assert not Position.objects.filter(driver_id=present(driver.driver_id)).exists()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"location":{"coords":{"latitude":1,"latitude":2}}}', "application/json"),
        (b"x" * (1024 * 1024 + 1), FORM),
        (b"&".join(b"a=1" for _ in range(2000)), FORM),
    ],
)
def test_an_unreadable_body_of_a_known_phone_is_acknowledged(key: str, body: bytes, content_type: str) -> None:
    before = ignored("unreadable")

    answer = post(body, content_type, urlencode({"id": key}))

    assert (answer.status_code, answer.content) == (200, b"")
    assert ignored("unreadable") == before + 1


def test_zeros_before_the_first_fix_do_not_hide_it(driver: Subject, key: str) -> None:
    start = int(timezone.now().timestamp()) - 600

    for seconds in range(3):
        get(id=key, lat=0, lon=0, timestamp=start + seconds)
    get(id=key, lat=52.1, lon=4.5, timestamp=start + 60)
    for seconds in range(3):
        get(id=key, lat="0.0", lon="0.0", timestamp=start + 120 + seconds)

    [shown] = DriverPosition.objects.filter(driver_id=present(driver.driver_id))
    assert (shown.latitude, shown.longitude) == (52.1, 4.5)
    assert Position.objects.filter(driver_id=present(driver.driver_id)).count() == 1


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


def test_an_impossible_jump_is_acknowledged_and_kept_as_evidence(driver: Subject, key: str) -> None:
    """A tracker retries a refused position for ever, and holds back all later ones."""
    before = ignored("impossible_jump")
    get(id=key, lat="52.37", lon="4.89")

    answer = get(id=key, **NEW_YORK)

    assert (answer.status_code, answer.content) == (200, b"")
    assert ignored("impossible_jump") == before + 1
    assert Position.objects.filter(driver_id=present(driver.driver_id), plausible=True).count() == 1


@pytest.mark.usefixtures("patient_redis")
def test_each_device_key_has_its_own_limit_of_positions(driver: Subject, key: str, settings: Any) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (1, 900), "positions": (2, 900)}
    place = {"lat": "52.37", "lon": "4.89"}

    answers = [get(id=key, **place) for _ in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[0]["RateLimit-Policy"] == '"positions";q=2;w=900, "general";q=1;w=900'
    assert answers[0]["RateLimit"].startswith('"positions";r=1;t=')
    assert int(answers[2]["Retry-After"]) > 0


def test_the_use_of_a_key_is_recorded(driver: Subject, key: str) -> None:
    get(id=key, lat="52.37", lon="4.89")

    assert DeviceKey.objects.get(driver_id=present(driver.driver_id)).last_used_at is not None


def test_another_method_is_refused_in_plain_text(db: None) -> None:
    answer = Client().delete(PATH)

    assert answer.status_code in {401, 405}
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
