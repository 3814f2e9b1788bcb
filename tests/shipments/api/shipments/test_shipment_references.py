"""References of other parties: merged by changes, several under a name, looked up exactly."""

import pytest
from django.db import connection

from shipments.auth.subjects import Subject
from shipments.models import Organization, Shipment
from shipments.selectors.lists import reference_lookup
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


def found(api: Api, **query: str) -> list[str]:
    response = api.get("/api/shipments", {name.replace("__", "."): text for name, text in query.items()})
    assert response.status_code == 200, response.content
    return sorted(each["reference"] for each in response.json()["results"])


def test_a_change_is_merged_and_null_removes(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1", references={"po": "1", "bol": "2", "pro": "3"})

    body = api.patch("/api/shipments/A-1", {"references": {"po": ["1", "9"], "bol": None}}, if_match="*").json()
    same = api.patch("/api/shipments/A-1", {"references": {"bol": None, "pro": "3"}}, if_match="*").json()

    assert body["references"] == {"po": ["1", "9"], "pro": "3"}
    assert (same["references"], same["seq"]) == (body["references"], 2)
    event = api.get("/api/shipments/A-1/events", {"after": 1}).json()["events"][0]
    assert event["data"]["changes"] == {"references": {"po": ["1", "9"], "pro": "3"}}


def test_bulk_merges_alike(api: Api) -> None:
    response = api.post("/api/shipments/bulk", {"items": [
        {"op": "create", "reference": "A-1", "origin": "NLRTM", "destination": "DEHAM",
         "references": {"po": "1", "bol": None, "pro": ["3"]}},
        {"op": "update", "reference": "A-1", "references": {"po": None, "sku": "7"}},
    ]})  # fmt: skip

    assert response.json()["results"][0]["shipment"]["references"] == {"pro": ["3"], "sku": "7"}


def test_more_than_twenty_names_are_refused_whole(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1", references={f"n{number}": "1" for number in range(20)})

    response = api.patch("/api/shipments/A-1", {"references": {"more": "1"}, "pieces": 3}, if_match="*")

    assert (response.status_code, field_errors(response)) == (400, [("references", "too_many")])
    assert api.get("/api/shipments/A-1").json()["seq"] == 1


def test_shipments_are_found_by_the_exact_text_of_a_reference(
    api: Api, organization: Organization, dispatcher: Subject, rival: Subject
) -> None:
    account = factories.customer(organization)
    factories.booked_shipment(dispatcher, reference="ONE", references={"po": "4711"}, customer_id=account.pk)
    factories.booked_shipment(dispatcher, reference="SEVERAL", references={"po": ["4710", "4711"], "bol": "MAEU 1"})
    factories.booked_shipment(dispatcher, reference="LONGER", references={"po": "47110", "bol": "4711"})
    factories.booked_shipment(rival, reference="THEIRS", references={"po": "4711"})

    assert found(api, reference__po="4711") == ["ONE", "SEVERAL"]
    assert found(api, reference__po=" 4711 ") == ["ONE", "SEVERAL"]
    assert found(api, reference__bol="MAEU\u00a01") == ["SEVERAL"]
    assert found(api, reference__bol="4711", reference__po="47110") == ["LONGER"]
    assert found(api, reference__po="471") == []
    assert found(api, reference__po="4711", status="draft") == []
    assert found(Api(factories.member(organization, "customer", customer=account)), reference__po="4711") == ["ONE"]


def test_a_page_of_a_look_up_goes_on_by_its_cursor(api: Api, dispatcher: Subject) -> None:
    for number in range(3):
        factories.booked_shipment(dispatcher, reference=f"N-{number}", references={"po": "4711"})

    first = api.get("/api/shipments", {"reference.po": "4711", "limit": 2}).json()
    second = api.get(first["next"]).json()

    assert [len(page["results"]) for page in (first, second)] == [2, 1]
    assert second["next"] is None


@pytest.mark.parametrize("name", ["reference.p-o", "reference.", "reference", "references.po", "reference.a.b"])
def test_what_is_no_name_of_a_reference_is_no_parameter(api: Api, name: str) -> None:
    assert field_errors(api.get("/api/shipments", {name: "1"})) == [(name, "unknown_parameter")]


def test_an_empty_text_is_refused(api: Api) -> None:
    assert field_errors(api.get("/api/shipments", {"reference.po": " "})) == [("reference.po", "invalid")]


def test_a_look_up_reads_the_index_of_references(dispatcher: Subject) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = Shipment.objects.with_other_reference("po", "4711").explain()

    assert plan.count("shipment_references") == 2


def test_a_reference_that_very_many_shipments_have_is_found_on_the_list(
    api: Api, dispatcher: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_lookup, "_MAX_KEYS", 1)
    for number in range(3):
        factories.booked_shipment(dispatcher, reference=f"N-{number}", references={"po": ["4711"]})

    assert found(api, reference__po="4711") == ["N-0", "N-1", "N-2"]


def test_a_wrong_check_digit_is_a_warning_at_every_write(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1")
    change = {"references": {"container": ["CSQU3054383", "CSQU3054384"], "imo": "9074729"}}

    patched = api.patch("/api/shipments/A-1", change, if_match="*").json()
    bulk = api.post("/api/shipments/bulk", {"items": [{"op": "update", "reference": "A-1", **change}]}).json()

    for warnings in (patched["warnings"], bulk["results"][0]["warnings"]):
        assert [(each["field"], each["code"]) for each in warnings] == [("references.container", "check_digit")]
    assert patched["references"] == change["references"]
    assert "warnings" not in api.get("/api/shipments/A-1").json()
