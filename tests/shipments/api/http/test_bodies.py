"""Request bodies: strict JSON of at most 1 MiB, the same for every endpoint."""

import gzip

import pytest

from shipments.auth.subjects import Subject
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PATH = "/api/shipments"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "malformed"),
        (b"[" * 100_000, "too_deep"),
        (b'{"origin":' * 50, "too_deep"),
        (b'{"pieces": %s}' % (b"9" * 4301), "number_too_large"),
        (b'{"weightKg": NaN}', "not_a_number"),
        (b'{"weightKg": 1e999}', "number_too_large"),
        (b'{"notes": "a", "notes": "b"}', "duplicate_key"),
        (b'{"notes": "\\u0000"}', "nul"),
        (b'{"notes": "\\ud800"}', "surrogate"),
        (b'{"notes": "\xff"}', "encoding"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"x"', "not_an_object"),
    ],
)
@pytest.mark.parametrize("target", ["book", "amend", "advance", "driver"])
def test_an_error_of_strict_json_is_named(
    api: Api, dispatcher: Subject, target: str, raw: bytes, code: str
) -> None:
    if target == "book":
        response = api.post(PATH, raw)
    elif target == "driver":
        response = api.post("/api/drivers", raw)
    else:
        path = f"{PATH}/{factories.booked_shipment(dispatcher).reference}"
        response = api.patch(path, raw, If_Match="*") if target == "amend" else api.post(f"{path}/transitions", raw)

    assert response.status_code == 400
    assert field_errors(response) == [("", code)]


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5 * 1024 * 1024])
def test_a_body_over_one_mebibyte_is_413(api: Api, size: int) -> None:
    response = api.post(PATH, b'{"notes": "' + b"x" * size + b'"}')

    assert response.status_code == 413
    assert response["Content-Type"] == "application/problem+json"


def test_compressed_bodies_are_415(api: Api) -> None:
    response = api.post(PATH, gzip.compress(b"{}"), Content_Encoding="gzip")

    assert response.status_code == 415
    assert response["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_other_media_types_are_415(api: Api, content_type: str) -> None:
    response = api.post(PATH, b"a=b", content_type=content_type)

    assert response.status_code == 415
    assert response["Content-Type"] == "application/problem+json"


def test_an_empty_body_lacks_every_required_field(api: Api) -> None:
    response = api.post(PATH, b"")

    assert field_errors(response) == [("origin", "required"), ("destination", "required")]
