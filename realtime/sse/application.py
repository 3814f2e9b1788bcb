"""The ASGI application of the event streams: same rooms, cursors, permissions and limits as sockets.

It admits a stream before Django and without a thread, since a stream may be open for hours. A request that it does
not admit is Django's to refuse: the views at the same paths (`shipments.api.feed.stream_views`) find what is wrong.
So a stream is refused in the order, with the headers and in the words of REST.
"""

import io
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError
from psycopg import OperationalError as DriverError
from psycopg_pool import PoolTimeout
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.utils.mediatypes import media_type_matches

from monitoring import metrics
from monitoring.addresses import drop_forged_scheme
from monitoring.middleware import accept_or_generate_id, describe_request_span
from monitoring.tracing import trace_context
from ratelimits import async_limiter, limiter, throttling
from ratelimits.limiter import Usage
from realtime.access import authentication
from realtime.hub import room_hub, room_registry
from realtime.hub.log_room import JoinRequest
from realtime.protocol import room_names
from realtime.protocol.close_codes import CloseCode
from realtime.sse.event_stream import EventStream
from shipments.auth.subjects import Subject
from shipments.domain.identifiers import REFERENCE_PATTERN
from shipments.parsing.query_parameters import InvalidFields
from shipments.parsing.stream_requests import REFUSAL_KEY, StreamCursor, cursor_of

Application = Callable[[Any, Any, Any], Awaitable[None]]
_SHIPMENT: Final = re.compile(rf"/api/shipments/({REFERENCE_PATTERN.pattern})/stream")
_FEED: Final = "/api/events/stream"
_MEDIA_TYPE: Final = "text/event-stream"
_CROSS_SITE: Final = "A page of another site may not open a stream by its visitor's session."

_log = structlog.get_logger("monitoring.requests")


class NotAdmitted(Exception):
    """The request is left to Django; `refusal` is the exception of a cause that REST has not."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__()
        self.refusal = refusal


class TooManyStreams(APIException):
    """The subject or address has too many streams and sockets open, or opens them too fast."""

    status_code = 429
    default_code = "too_many_streams"
    default_detail = "There are too many streams and sockets of this user or address, or they are opened too fast."
    wait = 59  # Retry-After is the next second


class StreamApplication:
    """Serves `GET /api/shipments/{reference}/stream` and `GET /api/events/stream`; passes the rest to `inner`."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if not path.endswith("/stream") or scope["method"] != "GET":
            await self.inner(scope, receive, send)
        elif path == _FEED:
            await self._serve(scope, path, {"room": room_names.FEED}, receive, send)
        elif match := _SHIPMENT.fullmatch(path):
            route = "/api/shipments/<reference:reference>/stream"
            await self._serve(scope, route, {"shipmentId": match[1]}, receive, send)
        else:
            await self.inner(scope, receive, send)

    async def _serve(
        self, scope: Any, route: str, room_fields: Mapping[str, object], receive: Any, send: Any
    ) -> None:
        """Stream until either side closes, or let Django refuse."""
        headers = authentication.headers_of(scope)
        with trace_context.server_span(
            "stream", headers.get("traceparent", ""), headers.get("tracestate", "")
        ) as trace:
            request_id = accept_or_generate_id(headers.get("x-request-id", ""))
            structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace.trace_id)
            stream_request = _StreamRequest(scope, route, room_fields, request_id)
            try:
                stream = await stream_request.admit()
            except NotAdmitted as error:
                refused = {
                    REFUSAL_KEY: error.refusal,
                    throttling.USAGES_KEY: stream_request.usages,
                    trace_context.SCOPE_KEY: trace,
                }
            else:
                await stream_request.run(stream, receive, send)
                return
            await self.inner({**scope, **refused}, receive, send)


class _StreamRequest:
    """One request for a stream."""

    def __init__(self, scope: Any, route: str, room_fields: Mapping[str, object], request_id: str) -> None:
        self._scope = scope
        self._route = route
        self._room_fields = room_fields
        self._id = request_id
        self._headers: dict[str, str] = {}
        self._address: str | None = None
        self._started_at = time.perf_counter()
        self.usages: list[Usage] | None = None  # None before the request was counted, and where no limit applies
        self._subject: Subject | None = None

    async def run(self, stream: EventStream, receive: Any, send: Any) -> None:
        """Send an admitted stream until either side closes."""
        self._log_request(200)
        end_reason = "failed"
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._response_headers()})
            end_reason = await stream.run(receive, send)
        finally:
            stream.end()
            seconds = round(time.perf_counter() - self._started_at, 1)
            _log.info("stream closed", route=self._route, reason=end_reason, seconds=seconds)

    # -- permission and cursor --------------------------------------------------------------------------

    async def admit(self) -> EventStream:
        """Return a stream that has joined its room; raise NotAdmitted where it may not."""
        cursor = self._read_request()
        credential = authentication.handshake_credential(self._headers, ())
        if credential is None:
            raise NotAdmitted
        if credential.kind == "session":
            self._check_same_site()
        stream = EventStream(credential, self._address, room_hub.current())
        try:
            await self._enter(stream, cursor)
        except (DriverError, PoolTimeout, OSError) as error:
            stream.end()
            _log.warning("stream not served", error=repr(error))
            outage = OperationalError("The database did not serve the stream.")
            outage.__cause__ = error
            raise NotAdmitted(outage) from error
        except BaseException:
            stream.end()
            raise
        return stream

    def _read_request(self) -> StreamCursor:
        """Return the cursor; raise NotAdmitted for a request that Django refuses or redirects by itself."""
        try:
            request = ASGIRequest(self._scope, io.BytesIO())
            # One value a name, as the views see them, also where a name stands twice.
            self._headers = {name.lower(): value for name, value in request.headers.items()}
            self._address = authentication.address_of(self._scope, self._headers)
            drop_forged_scheme(request.META)
            request.get_host()
            if settings.SECURE_SSL_REDIRECT and not request.is_secure():
                raise NotAdmitted
            accepted = self._headers.get("accept", "*/*").split(",")
            if not any(media_type_matches(_MEDIA_TYPE, each.strip()) for each in accepted):
                raise NotAdmitted
            return cursor_of(request)
        except (UnicodeDecodeError, SuspiciousOperation, InvalidFields) as error:
            raise NotAdmitted from error

    async def _enter(self, stream: EventStream, cursor: StreamCursor) -> None:
        await stream.admit()
        if stream.close_code is CloseCode.TOO_MANY_MESSAGES:
            raise NotAdmitted(TooManyStreams())
        if stream.close_code is CloseCode.DRAINING:
            raise NotAdmitted(OperationalError("The credentials could not be checked."))
        subject = self._subject = stream.subject
        if subject is None:
            raise NotAdmitted
        room_key = room_names.parse_room(self._room_fields)
        permitted = await room_registry.find(subject, [room_key]) if room_key else {}
        if room_key not in permitted:
            raise NotAdmitted
        await self._check_rate_limit(subject)
        await stream.memberships.enter([JoinRequest(permitted[room_key], cursor.seq, cursor.epoch)])
        if not stream.answered:  # the shipment was deleted between the permission check and the join
            raise NotAdmitted

    def _check_same_site(self) -> None:
        """Raise NotAdmitted for a page of another site; a same-origin GET carries no Origin."""
        origin, site = self._headers.get("origin"), self._headers.get("sec-fetch-site", "same-origin")
        if site not in {"same-origin", "none"} or (origin is not None and origin not in settings.WS_CORS_ORIGINS):
            raise NotAdmitted(PermissionDenied(_CROSS_SITE, code="cross_site"))

    async def _check_rate_limit(self, subject: Subject) -> None:
        usage = await async_limiter.check("general", subject.limit_key, subject=subject)
        if usage is not None:
            self.usages = [usage]
            if not usage.allowed:
                raise NotAdmitted

    # -- response ---------------------------------------------------------------------------------------

    def _response_headers(self) -> list[tuple[bytes, bytes]]:
        headers = {
            "Cache-Control": "no-store",
            "Content-Type": f"{_MEDIA_TYPE}; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
            "X-Request-ID": self._id,
            # nginx and compatible proxies buffer a response unless this says otherwise.
            "X-Accel-Buffering": "no",
            **limiter.headers(self.usages or []),
        }
        origin = self._headers.get("origin")
        if origin in settings.CORS_ALLOWED_ORIGINS:
            headers |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

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
