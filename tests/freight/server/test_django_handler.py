"""SingleThreadHandler: one thread switch a request, to a pooled thread."""

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
    """Records on which threads requests start and finish; a request for /api/wait blocks until `go` is set."""

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
def thread_recorder() -> Iterator[ThreadRecorder]:
    recorder = ThreadRecorder()
    signals.request_started.connect(recorder.begin, weak=False, dispatch_uid="thread_recorder")
    signals.request_finished.connect(recorder.end, weak=False, dispatch_uid="thread_recorder")
    yield recorder
    recorder.go.set()
    signals.request_started.disconnect(dispatch_uid="thread_recorder")
    signals.request_finished.disconnect(dispatch_uid="thread_recorder")


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


async def test_sequential_requests_share_one_thread_and_finish_on_it(thread_recorder: ThreadRecorder) -> None:
    handler = SingleThreadHandler()

    answers = [await request(handler) for _ in range(5)]

    assert [answer[0]["status"] for answer in answers] == [404] * 5
    assert len(thread_recorder.began) == 5
    assert set(thread_recorder.began) == set(thread_recorder.ended)
    assert len(set(thread_recorder.began)) == 1


async def test_concurrent_requests_do_not_wait_for_each_other(thread_recorder: ThreadRecorder) -> None:
    handler = SingleThreadHandler()
    waiting = asyncio.create_task(request(handler, "/api/wait"))
    await asyncio.to_thread(thread_recorder.waiting.wait, 20)

    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(request(handler) for _ in range(40)))
    thread_recorder.go.set()

    assert [answer[0]["status"] for answer in [*answers, await waiting]] == [404] * 41
    assert len(thread_recorder.ended) == 41


async def test_a_thread_that_a_long_poll_has_released_is_not_reused(thread_recorder: ThreadRecorder) -> None:
    handler = SingleThreadHandler()
    signals.request_finished.connect(
        lambda **_: long_poll.release_sync_thread(), weak=False, dispatch_uid="release"
    )

    async with asyncio.timeout(20):
        answers = [await request(handler) for _ in range(3)]
    signals.request_finished.disconnect(dispatch_uid="release")

    assert [answer[0]["status"] for answer in answers] == [404] * 3
    assert len(thread_recorder.ended) == 3


async def test_the_thread_of_a_cancelled_request_that_still_works_is_not_reused(
    thread_recorder: ThreadRecorder,
) -> None:
    handler = SingleThreadHandler()
    cancelled = asyncio.create_task(request(handler, "/api/wait"))
    await asyncio.to_thread(thread_recorder.waiting.wait, 20)
    cancelled.cancel()
    await asyncio.sleep(0.1)

    async with asyncio.timeout(20):
        answers = [await request(handler) for _ in range(3)]

    assert [answer[0]["status"] for answer in answers] == [404] * 3
    assert thread_recorder.began[0] not in thread_recorder.began[1:]
    thread_recorder.go.set()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
