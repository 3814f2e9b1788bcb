"""Django's ASGI handler with a synchronous middleware chain: one thread switch a request.

Django's own keeps an asynchronous core below any middleware and starts a thread for each request, to which it
switches three times or more: for request_started, for middleware and view, for closing the response. Here all of it
happens in one switch, to a pooled thread.
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

# Threads beyond these, for more requests at a time, end with their request.
_MAX_IDLE_THREADS: Final = 16


class _RequestThread(ThreadPoolExecutor):
    """An executor of one thread that knows whether it is idle."""

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
    """Runs request_started, middleware, view and close of a request in one call on one thread."""

    def __init__(self) -> None:
        super().__init__()
        self._idle_threads: list[_RequestThread] = []

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002  Django's signature
        """Build the synchronous chain, whatever `is_async` says."""
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request on an idle or new thread."""
        thread = self._idle_threads.pop() if self._idle_threads else _RequestThread()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.handle(scope, receive, send)
        finally:
            # A thread that still works for an aborted request must not delay another; a long poll ends its own.
            if thread.is_idle and len(self._idle_threads) < _MAX_IDLE_THREADS:
                self._idle_threads.append(thread)
            else:
                thread.shutdown(wait=False)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body, make the response on the thread, and send it."""
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
        """Make the response: everything of a request that may block. Runs on the request's thread."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        request, error_response = self.create_request(scope, body)
        response: Any = error_response if request is None else self.get_response(request)
        response._handler_class = type(self)  # noqa: SLF001  as Django's handler does
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if not response.streaming:
            response.close()  # its content is complete: sends request_finished on this thread
        return response

    async def _stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send a streaming response until it ends or the client disconnects."""
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
