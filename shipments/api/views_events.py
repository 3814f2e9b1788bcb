"""The log of a shipment, and waiting for what comes next."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from django.db import connection
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation, texts
from shipments.access import Subject
from shipments.api import parameters, shapes, waiting
from shipments.api.documentation import REFERENCE, problems
from shipments.api.renderers import encode
from shipments.api.views import follower
from shipments.selectors import epoch as epochs
from shipments.selectors import live
from shipments.selectors import shipments as selectors
from shipments.selectors.parameters import Parameter
from shipments.services import ShipmentNotFound

MAX_EVENTS: Final = 1000
MAX_WAIT_SECONDS: Final = 25
EVENTS: Final[Mapping[str, Parameter]] = {
    "after": Parameter(
        texts.whole_number(0, 2**63 - 1),
        "The newest event that the caller has. Default 0.",
        {"type": "integer", "minimum": 0, "default": 0},
    ),
    "epoch": Parameter(texts.text_up_to(64), "The epoch that `after` belongs to."),
    "limit": Parameter(
        texts.whole_number(1, MAX_EVENTS),
        "The most events. Default 200.",
        {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "default": 200},
    ),
    "wait": Parameter(
        texts.whole_number(0, MAX_WAIT_SECONDS),
        "Where there is nothing new, wait for it so many seconds.",
        {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    ),
}


class EventsView(APIView):
    """The log of one shipment."""

    @extend_schema(
        operation_id="listShipmentEvents",
        parameters=[REFERENCE, *parameters.described(EVENTS)],
        responses={200: shapes.EventLog, **problems(400, 404)},
    )
    def get(self, request: Request, reference: str) -> HttpResponseBase:
        """Return every event behind `after`, in order and without a gap, or say that one must start anew."""
        subject = follower(request)
        asked = parameters.parse_parameters(request.GET, EVENTS)
        after, limit = asked.get("after", 0), asked.get("limit", 200)
        head = selectors.visible_shipments(subject).with_reference(reference).values_list("id", "seq").first()
        if head is None:
            raise ShipmentNotFound(reference)
        shipment_id, seq = head
        epoch = epochs.current()
        if asked.get("epoch", epoch) != epoch or after > seq:
            return Response(_lost(epoch, seq))
        rows = selectors.events_of_shipment(shipment_id).after_seq(after).values(*representation.EVENT_COLUMNS)[:limit]
        events = [representation.event(row) for row in rows]
        if events or not asked.get("wait"):
            return Response(_found(epoch, seq, events))
        let_go()
        body = _wait(subject, reference, shipment_id, epoch=epoch, after=after, limit=limit, seconds=asked["wait"])
        return StreamingHttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _found(epoch: str, seq: int, events: list[dict[str, Any]]) -> dict[str, Any]:
    newest = max(seq, events[-1]["seq"]) if events else seq
    return {"epoch": epoch, "seq": newest, "recovered": True, "events": events}


def _lost(epoch: str, seq: int) -> dict[str, Any]:
    return {"epoch": epoch, "seq": seq, "recovered": False, "reason": "epoch", "events": []}


def let_go() -> None:
    """This will give the thread's connection back now: the request ends only when its body does."""
    if not connection.in_atomic_block:
        connection.close()


async def _wait(
    subject: Subject, reference: str, shipment_id: uuid.UUID, *, epoch: str, after: int, limit: int, seconds: int
) -> AsyncIterator[bytes]:
    """This will yield the one answer, as soon as something is new or the time is up."""
    waiting.let_thread_go()
    news = await waiting.news(shipment_id, epoch=epoch, after=after, seconds=seconds)
    if news is None:
        answer = _found(epoch, after, [])
    else:
        today, head = news
        # The caller may have lost the shipment while it waited.
        if today != epoch or not await live.fetch_visible_references(subject, [reference]):
            answer = _lost(today, head)
        else:
            answer = _found(today, head, await live.fetch_events(shipment_id, after, limit=limit))
    yield encode(answer)
