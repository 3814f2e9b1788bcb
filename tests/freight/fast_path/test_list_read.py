"""A list read goes down through the modules once: see `shipments.selectors.lists.parsing` for the steps."""

import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import groupby
from types import FrameType
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone

from freight.fast_path.application import FastPathApplication
from shipments.auth.subjects import Subject
from shipments.compiled_sql import lists
from shipments.selectors import async_pool
from shipments.selectors.lists import parsing
from shipments.services.accounts import api_keys
from tests import factories
from tests.freight.fast_path.asgi_client import RecordingDjango, ask
from tests.shipments.api.client import Api

# One component: single-flight calls the service's function back, and the store reports failures to it.
_CACHE = {"shipments.caching.service", "shipments.caching.single_flight", "shipments.caching.redis_store"}
_LISTS = ("/api/shipments", "/api/drivers", "/api/customers", "/api/audit-log")
_PARSE, _FETCH, _READ = "selectors.lists.parsing", "caching.pages", "selectors.lists.keyset"
_RENDER, _RESPOND = "selectors.lists.rendering", "api.lists.responses"


class Walk:
    """A profiler: the modules of `shipments` in the order of calls, and the stacks that hold one twice, apart."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.reentered: list[list[str]] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not _module(frame).startswith("shipments."):
            return
        self.modules.append(_module(frame))
        stack = [_module(each) for each in _callers(frame)]
        runs = [name for name, _ in groupby(name for name in stack if name.startswith("shipments."))]
        runs = [name for name in runs if name not in _CACHE]
        if len(set(runs)) < len([name for name, _ in groupby(runs)]):
            self.reentered.append(runs[::-1])

    def steps(self) -> list[str]:
        """Return the modules of the steps that were entered, in the order of their first call."""
        steps = {f"shipments.{name}": name for name in (_PARSE, _FETCH, _READ, _RENDER, _RESPOND)}
        return [steps[name] for name in dict.fromkeys(self.modules) if name in steps]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


@contextmanager
def recorded_walk() -> Iterator[Walk]:
    walk = Walk()
    sys.setprofile(walk)
    threading.setprofile(walk)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest_asyncio.fixture(autouse=True)
async def pools() -> AsyncIterator[None]:
    yield
    await async_pool.close_pools()


@pytest.fixture
def admin(committed: None) -> Subject:
    admin = factories.member(factories.organization(), "admin")
    factories.booked_shipment(admin)
    return admin


@pytest.mark.parametrize("path", _LISTS)
@pytest.mark.parametrize("cold", [True, False])
def test_no_module_is_entered_again_below_itself(admin: Subject, path: str, cold: bool) -> None:
    api = Api(admin)
    assert api.get(path).status_code == 200
    if cold:  # nothing is parsed, compiled or cached
        parsing._parse.cache_clear()
        lists._compiled_queries.clear()
        factories.booked_shipment(admin)
    with recorded_walk() as walk:
        response = api.get(path)

    assert response.status_code == 200
    assert walk.reentered == []
    if path != "/api/shipments":
        assert walk.steps() == [_PARSE, _READ, _RENDER, _RESPOND]
    else:
        assert walk.steps() == [_PARSE, _FETCH, *([_READ] if cold else []), _RENDER, _RESPOND]


async def test_the_fast_path_takes_the_same_steps(admin: Subject) -> None:
    fast_path = FastPathApplication(RecordingDjango())
    token = await sync_to_async(_api_key)(admin)
    walks = []
    for _ in range(2):
        with recorded_walk() as walk:
            answer = await ask(fast_path, "/api/shipments", authorization=token)
        assert (answer.status, walk.reentered) == (200, [])
        walks.append(walk)

    assert [walk.steps() for walk in walks] == [
        [_PARSE, _FETCH, _READ, _RENDER, _RESPOND],
        [_PARSE, _FETCH, _RENDER, _RESPOND],
    ]
    assert not [name for walk in walks for name in walk.modules if name.endswith("_views")]


def _api_key(admin: Subject) -> str:
    _, secret = api_keys.create(by=admin, now=timezone.now(), name="board", scopes=["shipments:read"])
    return f"Bearer {secret}"
