"""A stream is refused as its REST sibling is: each cause, and each two of them at once, to both."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final

import orjson
import pytest
import pytest_asyncio
from django.utils import timezone
from pytest_django import Settings

from freight.server.django_handler import SingleThreadHandler
from realtime.sse.application import StreamApplication
from shipments.auth import tokens
from shipments.selectors import async_pool
from shipments.services.accounts import api_keys, logins
from tests import factories
from tests.freight.fast_path.asgi_client import Answer, ask

pytestmark = pytest.mark.usefixtures("committed")
PASSWORD: Final = "a-long-demo-password"
# What one request says wrong, by the part of the request. `limit` is the policy `general`.
CAUSES: Final[Mapping[str, Mapping[str, str]]] = {
    "no credentials": {"authorization": ""},
    "another scheme": {"authorization": "Basic eDp5"},
    "nonsense": {"authorization": "Bearer nonsense"},
    "wrong key": {"authorization": "{unknown_key}"},
    "expired token": {"authorization": "{expired}"},
    "missing scope": {"authorization": "{key_without_scope}"},
    "role without the feed": {"authorization": "{driver}"},
    "unknown shipment": {"reference": "NOT-THERE"},
    "another organisation's shipment": {"reference": "{foreign}"},
    "no reference": {"reference": "*"},
    "bad value": {"query": "{cursor}=nonsense"},
    "value given twice": {"query": "{cursor}=1&{cursor}=1"},
    "NUL": {"query": "{cursor}=%00"},
    "unknown member": {"query": "colour=red"},
    "unknown format": {"query": "format=xml"},
    "bytes that are no text": {"query": "\xff"},
    "limit reached": {"limit": "0"},
    "not acceptable": {"accept": "application/xml"},
    "unknown host": {"host": "evil.example"},
    "another origin": {"origin": "https://partner.example"},
    "POST": {"method": "POST"},
    "DELETE": {"method": "DELETE"},
}
# Asked two at once, too: one or two for each step at which a request may fail.
STEPS: Final = (
    "no credentials", "missing scope", "unknown shipment", "unknown member", "limit reached", "not acceptable",
    "unknown host", "POST",
)  # fmt: skip
PATHS: Final = {
    "shipment": ("/api/shipments/{reference}/events", "/api/shipments/{reference}/stream"),
    "feed": ("/api/events", "/api/events/stream"),
}
application = StreamApplication(SingleThreadHandler())
# Headers whose values belong to the path, or to the second.
_OWN_VALUES: Final = frozenset({"allow", "content-length", "ratelimit", "retry-after"})


@dataclass
class World:
    """What the texts of CAUSES in braces stand for."""

    values: dict[str, str]
    reference: str

    async def ask(self, path: str, cursor: str, accept: str, cause: Mapping[str, str]) -> Answer:
        values = self.values | {"cursor": cursor}
        said = {name: text.format(**values) for name, text in cause.items()}
        target = path.format(reference=said.get("reference", self.reference))
        query = f"?{said['query']}" if "query" in said else ""
        headers = {"authorization": values["dispatcher"], "accept": accept} | {
            name: said[name] for name in ("authorization", "accept", "host", "origin") if name in said
        }
        sent = {name: text for name, text in headers.items() if text}
        async with asyncio.timeout(30):  # a stream that is admitted does not end
            return await ask(application, target + query, method=said.get("method", "GET"), **sent)


@pytest_asyncio.fixture(autouse=True)
async def pools() -> AsyncIterator[None]:
    yield
    await async_pool.close_pools()


@pytest.fixture
def world(committed: None, settings: Settings) -> World:
    settings.CORS_ALLOWED_ORIGINS = ["https://partner.example"]
    organization, other = factories.organization(), factories.organization()
    now, origin = timezone.now(), logins.Origin("127.0.0.1", "")
    driver = factories.driver(organization)
    by = factories.member(organization, "dispatcher")
    users = {
        "dispatcher": factories.user(organization, "dispatcher", password=PASSWORD),
        "driver": factories.user(organization, "driver", password=PASSWORD, driver=driver),
    }

    def log_in(role: str, at: Any = now) -> str:
        login = logins.login(email=users[role].email, password=PASSWORD, origin=origin, now=at)
        return f"Bearer {login.access}"

    _, key = api_keys.create(by=by, now=now, name="other", scopes=["exports:read"], expires_at=None)
    values = {
        "dispatcher": log_in("dispatcher"),
        "driver": log_in("driver"),
        "expired": log_in("dispatcher", now - timedelta(hours=1)),
        "unknown_key": f"Bearer {tokens.new_api_key()}",
        "key_without_scope": f"Bearer {key}",
        "foreign": factories.booked_shipment(factories.member(other, "dispatcher")).reference,
    }
    return World(values, factories.booked_shipment(by, driver_id=driver.pk).reference)


def causes() -> dict[str, Mapping[str, str]]:
    """Return every cause alone, and every two of STEPS that are about different parts of a request."""
    pairs = {
        f"{one}, {other}": {**CAUSES[one], **CAUSES[other]}
        for one, other in itertools.combinations(STEPS, 2)
        if not CAUSES[one].keys() & CAUSES[other].keys()
    }
    return {**CAUSES, **pairs}


def refusal(answer: Answer) -> dict[str, Any]:
    """Return what a sibling's refusal for the same cause must have, too."""
    problem = orjson.loads(answer.body) if answer.headers.get("content-type", "").endswith("json") else {}
    own = {"instance": "", "errors": [each["code"] for each in problem.get("errors", [])]}
    return {
        "status": answer.status,
        "headers": {name: "" if name in _OWN_VALUES else value for name, value in sorted(answer.headers.items())},
        "problem": problem | {name: value for name, value in own.items() if name in problem},
    }


@pytest.mark.parametrize("kind", PATHS)
async def test_a_stream_is_refused_as_rest_refuses(world: World, settings: Settings, kind: str) -> None:
    rest_path, stream_path = PATHS[kind]
    limits = settings.RATE_LIMITS | {"ws_connect": (1_000_000, 60)}
    different: dict[str, Any] = {}
    statuses: set[int] = set()
    for name, cause in causes().items():
        settings.RATE_LIMITS = limits | {"general": (int(cause.get("limit", "1000000")), 604_800)}
        rest = await world.ask(rest_path, "after", "application/json", cause)
        if rest.status == 200:
            continue
        stream = await world.ask(stream_path, "lastEventId", "text/event-stream", cause)
        statuses.add(rest.status)
        if refusal(stream) != refusal(rest):
            different[name] = {"rest": refusal(rest), "stream": refusal(stream)}

    assert different == {}
    assert statuses == {400, 401, 403, 404, 405, 406, 429}


async def test_a_request_over_the_limit_is_counted_once(world: World, settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (0, 604_800)}
    counted = []

    for _ in range(2):
        answer = await world.ask(PATHS["shipment"][1], "lastEventId", "text/event-stream", {})
        counted.append((answer.status, answer.headers["ratelimit"].partition(";t=")[0]))

    assert counted == [(429, '"general";r=0')] * 2


@pytest.mark.parametrize("https", [True, False])
async def test_a_stream_is_redirected_to_https(world: World, settings: Settings, https: bool) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8")]
    redirecting = StreamApplication(SingleThreadHandler())  # the middleware reads the settings once
    cause = {"reference": "NOT-THERE"} if https else {}
    headers = {"x_forwarded_proto": "https"} if https else {}
    path = PATHS["shipment"][1].format(reference=cause.get("reference", world.reference))

    answer = await ask(redirecting, path, authorization=world.values["dispatcher"], **headers)

    assert answer.status == (404 if https else 301)
