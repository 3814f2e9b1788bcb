"""Django's ASGI handler with a middleware chain that is synchronous from end to end: one thread hop a request.

Django's own keeps an asynchronous core under any chain and starts a thread for each request, to which it hops three
times and more: for the signal of the request's beginning, for the middleware and the view, for its end. Here all
that happens in one hop, to a thread that has served before.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import FileResponse, HttpResponseBase
from django.urls import set_script_prefix

# As many as wait for the next request; what a crowd needs beyond them ends with it.
_MAX_IDLE_THREADS: Final = 16


class _RequestThread(ThreadPoolExecutor):
    """One thread, which knows whether it can be given something."""

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="django")
        self._last: Future[Any] | None = None
        self._ended = False

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self._last = super().submit(*args, **kwargs)
        return self._last

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        self._ended = True
        super().shutdown(*args, **kwargs)

    @property
    def is_idle(self) -> bool:
        return not self._ended and (self._last is None or self._last.done())


class SingleThreadHandler(ASGIHandler):
    """Runs middleware and view together in one thread."""

    def __init__(self) -> None:
        super().__init__()
        self._idle_threads: list[_RequestThread] = []

    def load_middleware(self, is_async: bool = False) -> None:
        """Build the synchronous chain."""
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        thread = self._idle_threads.pop() if self._idle_threads else _RequestThread()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.handle(scope, receive, send)
        finally:
            # Whoever was given up while it worked must not let the next one wait; a long poll has ended its own.
            if thread.is_idle and len(self._idle_threads) < _MAX_IDLE_THREADS:
                self._idle_threads.append(thread)
            else:
                thread.shutdown(wait=False)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body, have the answer made, and send it."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            response = await sync_to_async(self._respond, thread_sensitive=True)(scope, body)
            if not response.streaming:
                await self.send_response(response, send)
                return
            try:
                await self._stream(response, receive, send)
            finally:
                await sync_to_async(response.close, thread_sensitive=True)()

    def _respond(self, scope: Any, body: Any) -> Any:
        """Do all of a request that blocks."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        request, error_response = self.create_request(scope, body)
        response: Any = error_response if request is None else self.get_response(request)
        response._handler_class = type(self)
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if not response.streaming:
            response.close()  # what it holds is in its content; with it the request is over
        return response

    async def _stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send a stream until it ends or nobody is there any more."""
        disconnect = asyncio.create_task(self.listen_for_disconnect(receive))
        sending = asyncio.create_task(self.send_response(response, send))
        try:
            await asyncio.wait([disconnect, sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (disconnect, sending):
                if not task.done():
                    task.cancel()
            with suppress(asyncio.CancelledError, RequestAborted):
                await disconnect
            with suppress(asyncio.CancelledError):
                await sending
