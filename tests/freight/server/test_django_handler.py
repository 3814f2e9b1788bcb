"""Django's requests, each in one hop to a thread that has served before."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import signals

from freight.server.django_handler import SingleThreadHandler
from shipments.api.http import long_poll

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("committed")]


class ThreadRecorder:
    """In which threads requests began and ended; one that asks for /api/wait waits until it may go on."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self.waiting, self.go = threading.Event(), threading.Event()

    def begin(self, *, scope: dict[str, Any], **_: object) -> None:
        self.began.append(threading.get_ident())
        if scope["path"] == "/api/wait":
            self.waiting.set()
            assert self.go.wait(20)

    def end(self, **_: object) -> None:
        self.ended.append(threading.get_ident())


@pytest.fixture
def noted() -> Iterator[ThreadRecorder]:
    made = ThreadRecorder()
    signals.request_started.connect(made.begin, weak=False, dispatch_uid="noted")
    signals.request_finished.connect(made.end, weak=False, dispatch_uid="noted")
    yield made
    made.go.set()
    signals.request_started.disconnect(dispatch_uid="noted")
    signals.request_finished.disconnect(dispatch_uid="noted")


async def request(handler: SingleThreadHandler, path: str = "/api/nothing-here") -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    events = asyncio.Queue[dict[str, Any]]()
    events.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost")], "client": ["127.0.0.1", 1], "server": ["127.0.0.1", 80],
    }  # fmt: skip

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await handler(scope, events.get, send)
    return messages


async def test_requests_one_after_the_other_need_one_thread_and_end_in_it(noted: ThreadRecorder) -> None:
    handler = SingleThreadHandler()

    answers = [await request(handler) for _ in range(5)]

    assert [answer[0]["status"] for answer in answers] == [404] * 5
    assert len(noted.began) == 5
    assert set(noted.began) == set(noted.ended)
    assert len(set(noted.began)) == 1


async def test_requests_at_once_do_not_wait_for_each_other(noted: ThreadRecorder) -> None:
    handler = SingleThreadHandler()
    waiting = asyncio.create_task(request(handler, "/api/wait"))
    await asyncio.to_thread(noted.waiting.wait, 20)

    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(request(handler) for _ in range(40)))
    noted.go.set()

    assert [answer[0]["status"] for answer in [*answers, await waiting]] == [404] * 41
    assert len(noted.ended) == 41


async def test_a_thread_that_a_long_poll_has_let_go_is_not_given_to_the_next(noted: ThreadRecorder) -> None:
    handler = SingleThreadHandler()
    signals.request_finished.connect(
        lambda **_: long_poll.release_sync_thread(), weak=False, dispatch_uid="lets go"
    )

    async with asyncio.timeout(20):
        answers = [await request(handler) for _ in range(3)]
    signals.request_finished.disconnect(dispatch_uid="lets go")

    assert [answer[0]["status"] for answer in answers] == [404] * 3
    assert len(noted.ended) == 3


async def test_nobody_is_given_the_thread_of_a_request_that_was_given_up_and_goes_on(noted: ThreadRecorder) -> None:
    handler = SingleThreadHandler()
    given_up = asyncio.create_task(request(handler, "/api/wait"))
    await asyncio.to_thread(noted.waiting.wait, 20)
    given_up.cancel()
    await asyncio.sleep(0.1)

    async with asyncio.timeout(20):
        answers = [await request(handler) for _ in range(3)]

    assert [answer[0]["status"] for answer in answers] == [404] * 3
    assert noted.began[0] not in noted.began[1:]
    noted.go.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
