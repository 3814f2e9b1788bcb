"""Limits on requests, through the whole middleware chain."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ratelimits import counters
from shipments.models import User
from shipments.services.accounts import api_keys
from tests import factories
from tests.narrowing import present
from tests.ratelimits.redis_commands import captured_commands

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("patient_redis")]


def unused_address() -> str:
    return f"10.{uuid.uuid4().int % 250}.{uuid.uuid4().int % 250}.{uuid.uuid4().int % 250}"


def api_key_headers(*, name: str = "scanner", staff: bool = False) -> dict[str, str]:
    owner = replace(factories.member(factories.organization(), "admin"), is_staff=staff)
    User.objects.filter(pk=present(owner.user_id)).update(is_staff=staff)
    _, secret = api_keys.create(by=owner, now=timezone.now(), name=name, scopes=["shipments:read", "ai:use"])
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(("policy", "most", "window"), [("ai", 20, 60), ("billing", 30, 900)])
def test_reserved_paths_are_limited_although_nothing_is_there(policy: str, most: int, window: int) -> None:
    client = Client(REMOTE_ADDR=unused_address())

    answers = [client.get(f"/api/{policy}/anything/{number}") for number in range(most + 1)]

    assert [each.status_code for each in answers] == [404] * most + [429]
    first, last = answers[0], answers[-1]
    assert first["RateLimit-Policy"].startswith(f'"{policy}";q={most};w={window}, "general";q=')
    assert first["RateLimit"].startswith(f'"{policy}";r={most - 1};t=')
    assert last["Content-Type"] == "application/problem+json"
    assert (last.json()["status"], last.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(last["Retry-After"]) <= window


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
@pytest.mark.parametrize("path", ["/api/ai", "/api/ai/", "/api/billing/invoices/7"])
def test_reserved_paths_are_not_found_by_any_method(method: str, path: str) -> None:
    response = getattr(Client(REMOTE_ADDR=unused_address()), method)(path)

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response["RateLimit"].startswith(f'"{path.split("/")[2]}";r=')


def test_a_key_is_counted_apart_from_its_address(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ai": (3, 900)}
    one, other = api_key_headers(), api_key_headers()

    def ask(headers: dict[str, str]) -> int:
        return Client(REMOTE_ADDR=unused_address()).get("/api/ai/x", headers=headers).status_code

    assert [ask(one) for _ in range(5)] == [404, 404, 404, 429, 429]
    assert ask(other) == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.9"},
        {"x-real-ip": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"x-forwarded-for": "198.51.100.1, 203.0.113.9", "daphne-root-path": "/x"},
    ],
)
def test_forwarded_headers_of_a_client_change_nothing(settings: Settings, headers: dict[str, str]) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (2, 900)}
    client = Client(REMOTE_ADDR=unused_address())

    answers = [client.get("/api/nothing"), client.get("/api/nothing"), client.get("/api/nothing", headers=headers)]

    assert [each.status_code for each in answers] == [404, 404, 429]


def test_ipv6_is_counted_by_its_64(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (3, 900)}
    network = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"

    statuses = [
        Client(REMOTE_ADDR=f"{network}::{number:x}").get("/api/nothing").status_code for number in range(1, 6)
    ]

    assert statuses == [404, 404, 404, 429, 429]


def test_a_service_on_the_whitelist_has_no_limit(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ai": (1, 60), "general": (1, 60)}
    settings.RATE_LIMIT_WHITELIST = ["internal-analytics-service", "batch-processor"]
    client = Client(REMOTE_ADDR=unused_address(), headers=api_key_headers(name="batch-processor", staff=True))

    answers = [client.get(path) for path in ("/api/ai/x", "/api/ai/x", "/api/shipments", "/api/shipments")]

    assert [each.status_code for each in answers] == [404, 404, 200, 200]
    assert [each.has_header("RateLimit") for each in answers] == [False] * 4


@pytest.mark.parametrize("path", ["/api/health", "/api/metrics", "/", "/login", "/admin/", "/static/x.css"])
def test_paths_outside_the_api_are_not_counted(path: str) -> None:
    response = Client(REMOTE_ADDR="127.0.0.1").get(path)

    assert not response.has_header("RateLimit")


@pytest.mark.parametrize("path", ["/api/nothing", "/api/billing/x"])
def test_a_request_counts_all_its_limits_in_one_round_trip(path: str) -> None:
    redis: Any = counters.redis_client()
    client = Client(REMOTE_ADDR=unused_address(), headers=api_key_headers())
    client.get(path)  # opens the connection and loads the script

    with captured_commands(redis) as commands:
        answer = client.get(path)

    assert answer["RateLimit-Policy"]
    assert commands == ["EVALSHA"]
