"""POST /api/shipments/{reference}/checkpoints, its void, flags, and ?asOf."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Organization, Shipment
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PAST = "2026-03-02T13:00:00Z"
UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def shipment(organization: Organization, dispatcher: Subject) -> Shipment:
    return factories.booked_shipment(dispatcher, reference="C-1", driver_id=factories.driver(organization).pk)


@pytest.fixture
def path(shipment: Shipment) -> str:
    return f"/api/shipments/{shipment.reference}"


def report(**fields: Any) -> dict[str, Any]:
    return {"classifier": "ACT", "occurredAt": PAST, "source": "carrier", "status": "in_transit"} | fields


def _coded(code: str) -> dict[str, Any]:
    return {"classifier": "ACT", "occurredAt": PAST, "source": "carrier", "code": code, "codeSystem": "edi214"}


def test_an_observation_is_stored_applied_and_returned(api: Api, path: str) -> None:
    answer = api.post(f"{path}/checkpoints", report(location="NLRTM", sourceEventId="7", note="gate out"))

    body = answer.json()
    assert answer.status_code == 201
    assert {name: body[name] for name in ("outcome", "seq", "status", "classifier", "sourceEventId", "note")} == {
        "outcome": "applied", "seq": 2, "status": "in_transit", "classifier": "ACT", "sourceEventId": "7",
        "note": "gate out",
    }  # fmt: skip
    assert body["location"]["locode"] == "NLRTM"
    assert api.get(path).json()["status"] == "in_transit"


def test_a_repeated_source_event_is_200_with_the_same_body(api: Api, path: str) -> None:
    first = api.post(f"{path}/checkpoints", report(sourceEventId="7"))

    again = api.post(f"{path}/checkpoints", report(sourceEventId="7"))

    assert (again.status_code, again.json()) == (200, first.json())
    assert api.get(path).json()["seq"] == 2


def test_the_answer_says_what_the_shipment_is_now(api: Api, path: str) -> None:
    answer = api.post(f"{path}/checkpoints", _coded("K1"))

    shown = api.get(path)
    assert answer.json()["shipment"] == {
        name: shown.json()[name] for name in ("reference", "status", "seq", "eta", "deliveredAt", "flags")
    }
    assert answer.json()["shipment"]["seq"] == answer.json()["seq"] == 2
    assert answer.headers["ETag"] == shown.headers["ETag"]
    assert api.patch(path, {"notes": "read"}, if_match=answer.headers["ETag"]).status_code == 200


def test_a_duplicate_without_an_id_is_200_and_says_so(api: Api, path: str) -> None:
    first = api.post(f"{path}/checkpoints", report(location="NLRTM"))

    again = api.post(f"{path}/checkpoints", report(location="NLRTM"))

    assert (again.status_code, again.json()) == (200, first.json() | {"outcome": "duplicate"})
    assert again.json()["shipment"]["seq"] == 2


def test_other_content_under_the_same_id_is_a_correction(api: Api, path: str) -> None:
    first = api.post(f"{path}/checkpoints", report(sourceEventId="7", status="delivered")).json()

    answer = api.post(f"{path}/checkpoints", report(sourceEventId="7"))

    assert (answer.status_code, answer.json()["outcome"]) == (201, "applied")
    assert {name: answer.json()["shipment"][name] for name in ("status", "seq", "deliveredAt")} == {
        "status": "in_transit", "seq": 4, "deliveredAt": None,
    }  # fmt: skip
    assert answer.json()["id"] != first["id"]


def test_a_driver_may_not_correct_what_is_stored(
    organization: Organization, shipment: Shipment, api: Api, path: str
) -> None:
    stored = api.post(f"{path}/checkpoints", report(sourceEventId="7")).json()
    driver = Api(factories.member(organization, "driver", driver=shipment.driver))

    conflict = driver.post(f"{path}/checkpoints", report(sourceEventId="7", status="delivered"))
    forbidden = driver.post(f"{path}/checkpoints", report(status="delivered", supersedes=stored["id"]))

    assert (conflict.status_code, conflict.json()["code"]) == (409, "source_event_conflict")
    assert forbidden.status_code == 403
    assert api.get(path).json()["seq"] == 2


@pytest.mark.parametrize(("code", "status", "outcome"), [("X3", "at_pickup", "applied"), ("Q9", None, "anomalous")])
def test_a_carriers_code_is_stored_verbatim(
    api: Api, path: str, code: str, status: str | None, outcome: str
) -> None:
    stored = api.post(f"{path}/checkpoints", _coded(code)).json()

    assert (stored["code"], stored["status"], stored["outcome"]) == (code, status, outcome)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"code": "OK-17", "codeSystem": "acme.depot_2"}, ("acme.depot_2", None, "anomalous")),
        ({"code": "OK-17", "codeSystem": "acme.depot_2", "status": "at_facility"},
         ("acme.depot_2", "at_facility", "applied")),
        ({"code": "D1", "codeSystem": "edi214", "status": "at_facility"}, ("edi214", "at_facility", "applied")),
        ({"code": "Q9", "codeSystem": "EDI214", "status": "in_transit"}, ("edi214", "in_transit", "applied")),
        ({"code": "X3", "codeSystem": "EDI214"}, ("edi214", "at_pickup", "applied")),
    ],
)  # fmt: skip
def test_a_status_decides_and_any_code_is_stored_beside_it(
    api: Api, path: str, sent: dict[str, Any], stored: tuple[str, str | None, str]
) -> None:
    observed = report(**sent)
    if "status" not in sent:
        del observed["status"]

    answer = api.post(f"{path}/checkpoints", observed)

    body = answer.json()
    assert answer.status_code == 201
    assert (body["codeSystem"], body["status"], body["outcome"]) == stored
    assert body["code"] == sent["code"]


def test_a_checkpoint_is_found_by_its_location(api: Api, path: str, rival: Subject) -> None:
    posted = api.post(f"{path}/checkpoints", report(sourceEventId="7", location="NLRTM"))
    again = api.post(f"{path}/checkpoints", report(sourceEventId="7", location="NLRTM"))

    stored = {name: value for name, value in posted.json().items() if name != "shipment"}
    assert posted["Location"] == again["Location"] == f"{path}/checkpoints/{stored['id']}"
    assert api.get(posted["Location"]).json() == stored | {"voidedAt": None, "voidReason": ""}
    api.post(f"{posted['Location']}/void", {"reason": "wrong dock"})
    shown = api.get(posted["Location"]).json()
    assert (shown["voidedAt"] is None, shown["voidReason"]) == (False, "wrong dock")
    assert api.get(f"{path}/checkpoints/{UNKNOWN}").status_code == 404
    assert Api(rival).get(posted["Location"]).status_code == 404


def test_checkpoints_are_listed_in_order_and_by_pages(api: Api, path: str, rival: Subject) -> None:
    for hour in (15, 13, 14):  # told out of order
        api.post(f"{path}/checkpoints", report(occurredAt=f"2026-03-02T{hour}:00:00Z"))

    first = api.get(f"{path}/checkpoints", {"limit": 2})
    second = api.get(first.json()["next"])

    assert [each["seq"] for each in first.json()["results"]] == [2, 3]
    assert [each["occurredAt"][11:13] for each in first.json()["results"]] == ["15", "13"]
    assert first["Link"] == f'<{path}/checkpoints?after=3&limit=2>; rel="next"'
    assert [each["seq"] for each in second.json()["results"]] == [4]
    assert (second.json()["next"], second.json()["previous"], second.has_header("Link")) == (None, None, False)
    assert api.get(f"{path}/checkpoints", {"limit": 3}).json()["next"] is None
    assert field_errors(api.get(f"{path}/checkpoints", {"limit": 0, "page": 2})) == [
        ("limit", "invalid"), ("page", "unknown_parameter"),
    ]  # fmt: skip
    assert Api(rival).get(f"{path}/checkpoints").status_code == 404


def test_customers_and_links_see_checkpoints_without_the_reason_of_a_void(
    api: Api, organization: Organization, dispatcher: Subject, path: str
) -> None:
    account = factories.customer(organization)
    api.patch(path, {"customerId": str(account.pk)}, if_match="*")
    wrong = api.post(f"{path}/checkpoints", report(note="at the gate")).json()
    api.post(f"{path}/checkpoints/{wrong['id']}/void", {"reason": "he mixed it up"})
    viewers = [
        factories.member(organization, "customer", customer=account),
        factories.tracking_link_subject(dispatcher, "C-1"),
    ]

    for viewer in viewers:
        listed = Api(viewer).get(f"{path}/checkpoints").json()["results"]
        shown = Api(viewer).get(f"{path}/checkpoints/{wrong['id']}").json()

        assert listed == [shown]
        assert (shown["note"], shown["voidedAt"] is None, "voidReason" in shown) == ("at the gate", False, False)


def test_an_estimate_without_a_status_is_about_delivery(api: Api, path: str) -> None:
    answer = api.post(
        f"{path}/checkpoints", {"classifier": "EST", "occurredAt": "2030-01-01T00:00:00Z", "source": "planner"}
    )

    assert answer.status_code == 201
    assert api.get(path).json()["eta"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"classifier": "MAYBE"}, [("classifier", "invalid_choice")]),
        ({"status": "flying"}, [("status", "invalid_choice")]),
        ({"code": "X3"}, [("codeSystem", "invalid")]),
        ({"code": "X3", "codeSystem": "EDI 214"}, [("codeSystem", "syntax")]),
        ({"code": "X3", "codeSystem": "x" * 33}, [("codeSystem", "syntax")]),
        ({"occurredAt": "yesterday"}, [("occurredAt", "invalid")]),
        ({"occurredAt": "2098-01-01T00:00:00Z"}, [("occurredAt", "future")]),
        ({"seq": 9}, [("seq", "unknown_field")]),
        ({"source": ""}, [("source", "blank")]),
    ],
)
def test_invalid_fields_of_an_observation_are_named(
    api: Api, path: str, changed: dict[str, Any], refused: list[tuple[str, str]]
) -> None:
    answer = api.post(f"{path}/checkpoints", report(**changed))

    assert (answer.status_code, field_errors(answer)) == (400, refused)
    assert api.get(path).json()["seq"] == 1


def test_a_voided_checkpoint_no_longer_counts_for_the_status(api: Api, path: str) -> None:
    wrong = api.post(f"{path}/checkpoints", report(status="delivered")).json()

    answer = api.post(f"{path}/checkpoints/{wrong['id']}/void", {"reason": "wrong dock"})

    assert (answer.status_code, answer.json()["status"], answer.json()["deliveredAt"]) == (200, "booked", None)
    assert api.post(f"{path}/checkpoints/{wrong['id']}/void", {}).status_code == 400


def test_a_foreign_checkpoint_is_404(api: Api, path: str, shipment: Shipment, rival: Subject) -> None:
    wrong = api.post(f"{path}/checkpoints", report()).json()
    factories.booked_shipment(rival, reference="R-1")

    answer = Api(rival).post(f"/api/shipments/R-1/checkpoints/{wrong['id']}/void", {"reason": "x"})

    assert answer.status_code == 404


def test_a_stale_if_match_is_refused_except_for_a_repeated_source_event(api: Api, path: str) -> None:
    api.post(f"{path}/checkpoints", report(sourceEventId="7"))

    assert api.post(f"{path}/checkpoints", report(sourceEventId="8"), if_match='"1.x"').status_code == 412
    assert api.post(f"{path}/checkpoints", report(sourceEventId="7"), if_match='"1.x"').status_code == 200


@pytest.mark.parametrize(("role", "status"), [("customer", 403), ("driver", 201), ("auditor", 403), ("admin", 201)])
def test_which_roles_report(
    organization: Organization, shipment: Shipment, path: str, role: str, status: int
) -> None:
    links: dict[str, Any] = {"driver": shipment.driver} if role == "driver" else {}
    if role == "customer":
        account = factories.customer(organization)
        Api(factories.member(organization, "dispatcher")).patch(path, {"customerId": str(account.pk)}, if_match="*")
        links = {"customer": account}

    answer = Api(factories.member(organization, role, **links)).post(f"{path}/checkpoints", report())

    assert answer.status_code == status


def test_a_flag_is_opened_and_cleared(api: Api, path: str) -> None:
    opened = api.post(f"{path}/flags", {"flag": "damaged", "reason": "wet"})
    cleared = api.delete(f"{path}/flags/damaged")

    assert [(each["flag"], each["reason"]) for each in opened.json()["flags"]] == [("damaged", "wet")]
    assert (cleared.status_code, cleared.json()["flags"]) == (200, [])
    assert field_errors(api.delete(f"{path}/flags/ugly")) == [("flag", "unknown_flag")]


def test_as_of_shows_the_shipment_as_it_was_shown_then(api: Api, path: str) -> None:
    before = api.get(path).json()
    middle = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    api.post(f"{path}/checkpoints", report(status="delivered"))

    then = api.get(path, {"asOf": middle}).json()

    assert then == {
        name: value for name, value in before.items() if name not in {"notes", "allowedTransitions"}
    } | {"driver": {name: before["driver"][name] for name in ("id", "name")}}
    assert api.get(path).json()["status"] == "delivered"


@pytest.mark.parametrize(
    ("at", "status"), [("2001-01-01T00:00:00Z", 404), ("then", 400), ("2098-01-01T00:00:00Z", 200)]
)
def test_as_of_before_the_booking_malformed_and_in_the_future(api: Api, path: str, at: str, status: int) -> None:
    assert api.get(path, {"asOf": at}).status_code == status


def test_a_clock_two_minutes_fast_is_accepted(api: Api, path: str) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=2)).isoformat().replace("+00:00", "Z")

    assert api.post(f"{path}/checkpoints", report(occurredAt=ahead)).status_code == 201
