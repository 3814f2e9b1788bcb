"""The ASGI application of the event streams: same rooms, cursors, permissions and limits as sockets.

It answers before Django and without a thread, since a stream may be open for hours.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
import structlog
from django.conf import settings
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from monitoring import metrics
from monitoring.health import outages
from monitoring.middleware import accept_or_generate_id, describe_request_span
from monitoring.tracing import trace_context
from ratelimits import async_limiter, limiter
from realtime.access import authentication
from realtime.hub import room_hub, room_registry
from realtime.hub.log_room import JoinRequest
from realtime.protocol import room_names
from realtime.protocol.close_codes import CloseCode
from realtime.sse.event_stream import EventStream
from shipments.auth.subjects import Subject

Application = Callable[[Any, Any, Any], Awaitable[None]]
_SHIPMENT: Final = re.compile(r"/api/shipments/([^/]+)/stream")
_FEED: Final = "/api/events/stream"
_CURSOR: Final = re.compile(r"([^:\s]{1,64}):(\d{1,18})")
_DRAINING: Final = "This process is restarting; try again soon."
_UNAUTHENTICATED: Final = "The credentials are missing, wrong or no longer good."
_TOO_MANY: Final = "There are too many streams and sockets of this user or address, or they are opened too fast."
_CROSS_SITE: Final = "A page of another site may not open a stream by its visitor's session."

_log = structlog.get_logger("monitoring.requests")


class RequestRefused(Exception):
    """The request is answered with a problem+json response that carries `headers`."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.headers = dict(headers or {})
        self.code = code


class StreamApplication:
    """Serves `GET /api/shipments/{reference}/stream` and `GET /api/events/stream`; passes the rest to `inner`."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if not path.endswith("/stream") or scope["method"] == "OPTIONS":
            await self.inner(scope, receive, send)
        elif path == _FEED:
            await _StreamRequest(scope, "/api/events/stream", {"room": room_names.FEED}).answer(receive, send)
        elif match := _SHIPMENT.fullmatch(path):
            route = "/api/shipments/<reference>/stream"
            await _StreamRequest(scope, route, {"shipmentId": match[1]}).answer(receive, send)
        else:
            await self.inner(scope, receive, send)


class _StreamRequest:
    """One request for a stream."""

    def __init__(self, scope: Any, route: str, room_fields: Mapping[str, object]) -> None:
        self._scope = scope
        self._route = route
        self._room_fields = room_fields
        self._headers = authentication.headers_of(scope)
        self._id = accept_or_generate_id(self._headers.get("x-request-id", ""))
        self._address = authentication.address_of(scope, self._headers)
        self._started_at = time.perf_counter()
        self._rate_limit_headers: dict[str, str] = {}
        self._subject: Subject | None = None

    async def answer(self, receive: Any, send: Any) -> None:
        """Stream until either side closes, or answer with a problem."""
        headers = self._headers
        with trace_context.server_span(
            "stream", headers.get("traceparent", ""), headers.get("tracestate", "")
        ) as trace:
            structlog.contextvars.bind_contextvars(request_id=self._id, trace_id=trace.trace_id)
            await self._serve(receive, send)

    async def _serve(self, receive: Any, send: Any) -> None:
        try:
            stream = await self._admit()
        except RequestRefused as refused:
            await self._refuse(refused, send)
            return
        self._log_request(200)
        end_reason = "failed"
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": self._response_headers(_STREAM_HEADERS)}
            )
            end_reason = await stream.run(receive, send)
        finally:
            stream.end()
            seconds = round(time.perf_counter() - self._started_at, 1)
            _log.info("stream closed", route=self._route, reason=end_reason, seconds=seconds)

    # -- permission and cursor --------------------------------------------------------------------------

    async def _admit(self) -> EventStream:
        """Return a stream that has joined its room; raise RequestRefused where it may not."""
        if self._scope["method"] != "GET":
            raise RequestRefused(405, "Method Not Allowed", "A stream is read by GET.", {"Allow": "GET"})
        credential = authentication.handshake_credential(self._headers, ())
        if credential is not None and credential.kind == "session":
            self._check_same_site()
        stream = EventStream(credential, self._address, room_hub.current())
        try:
            await self._enter(stream, credential)
        except (OperationalError, PoolTimeout, OSError) as error:
            stream.end()
            _log.warning("stream not served", error=repr(error))
            outage = outages.explain(error)
            raise RequestRefused(503, "Service Unavailable", outage.detail, _RETRY_SOON, outage.code) from error
        except BaseException:
            stream.end()
            raise
        return stream

    async def _enter(self, stream: EventStream, credential: authentication.HandshakeCredential | None) -> None:
        if credential is not None:
            await stream.admit()
        subject = self._subject = stream.subject
        await self._check_rate_limit(subject)
        if stream.close_code in _CLOSE_PROBLEMS:
            raise RequestRefused(*_CLOSE_PROBLEMS[stream.close_code])
        if subject is None:
            raise RequestRefused(
                401, "Unauthorized", _UNAUTHENTICATED, {"WWW-Authenticate": 'Bearer realm="freight"'}
            )
        since, epoch = self._cursor()
        room_key = room_names.parse_room(self._room_fields)
        permitted = await room_registry.find(subject, [room_key]) if room_key else {}
        if room_key in permitted:
            await stream.memberships.enter([JoinRequest(permitted[room_key], since, epoch)])
        if not stream.answered:  # also where the shipment was deleted between the permission check and the join
            raise RequestRefused(404, "Not Found", "There is no such stream.")

    def _check_same_site(self) -> None:
        """Raise RequestRefused for a page of another site; a same-origin GET carries no Origin."""
        origin, site = self._headers.get("origin"), self._headers.get("sec-fetch-site", "same-origin")
        if site not in {"same-origin", "none"} or (origin is not None and origin not in settings.WS_CORS_ORIGINS):
            raise RequestRefused(403, "Forbidden", _CROSS_SITE)

    async def _check_rate_limit(self, subject: Subject | None) -> None:
        key = subject.limit_key if subject is not None else limiter.address_key(self._address)
        usage = await async_limiter.check("general", key, subject=subject)
        if usage is None:
            return
        self._rate_limit_headers = usage.headers
        if not usage.allowed:
            detail = f"The limit of this window is used up; try again in {usage.reset} seconds."
            raise RequestRefused(429, "Too Many Requests", detail)

    def _cursor(self) -> tuple[int | None, str | None]:
        """Return the client's `(since, epoch)`, `(None, None)` where it sends no cursor.

        Raise RequestRefused for a malformed cursor and for an unknown parameter.
        """
        query = parse_qs(self._scope["query_string"].decode("latin1"), keep_blank_values=True)
        if unknown := sorted(set(query) - {"lastEventId"}):
            raise RequestRefused(400, "Bad Request", f"There is no parameter {unknown[0][:64]!r}.")
        event_id = self._headers.get("last-event-id") or query.get("lastEventId", [""])[-1]
        if not event_id:
            return None, None
        cursor = _CURSOR.fullmatch(event_id.strip())
        if cursor is None:
            raise RequestRefused(
                400, "Bad Request", "The last event id is `epoch:seq`, as it stood in an `id:` line."
            )
        return int(cursor[2]), cursor[1]

    # -- response ---------------------------------------------------------------------------------------

    async def _refuse(self, refused: RequestRefused, send: Any) -> None:
        self._log_request(refused.status)
        problem = {
            "type": "about:blank",
            "title": refused.title,
            "status": refused.status,
            "detail": str(refused),
            "instance": self._scope["path"][:200],
            "requestId": self._id,
        } | ({"code": refused.code} if refused.code else {})
        body = orjson.dumps(problem)
        headers = {"Content-Type": "application/problem+json", "Content-Length": str(len(body)), **refused.headers}
        await send(
            {"type": "http.response.start", "status": refused.status, "headers": self._response_headers(headers)}
        )
        await send({"type": "http.response.body", "body": body})

    def _response_headers(self, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        response_headers = {
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Request-ID": self._id,
            **self._rate_limit_headers,
            **headers,
        }
        origin = self._headers.get("origin")
        if origin in settings.CORS_ALLOWED_ORIGINS:
            response_headers |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return [(name.lower().encode(), value.encode()) for name, value in response_headers.items()]

    def _log_request(self, status: int) -> None:
        seconds, method = time.perf_counter() - self._started_at, self._scope["method"]
        metrics.observe_request(method=method, route=self._route, status=status, seconds=seconds)
        describe_request_span(method, self._route, status)
        subject = self._subject
        _log.info(
            "request",
            method=metrics.method_label(method),
            route=self._route,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            address=self._address,
            **({"user": str(subject.user_id), "organization": str(subject.organization_id)} if subject else {}),
        )


# nginx and compatible proxies buffer a response unless X-Accel-Buffering says otherwise.
_STREAM_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
_RETRY_SOON: Final = {"Retry-After": "2"}
# The problems for close codes that are not about the credentials.
_CLOSE_PROBLEMS: Final = {
    CloseCode.TOO_MANY_MESSAGES: (429, "Too Many Requests", _TOO_MANY, {"Retry-After": "60"}),
    CloseCode.DRAINING: (503, "Service Unavailable", _DRAINING, _RETRY_SOON),
}
