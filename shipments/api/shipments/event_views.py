"""The event log of a shipment, by pages or by long poll."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments.api.http import long_poll
from shipments.api.http.renderers import encode
from shipments.api.http.requests import require_follower
from shipments.api.lists import parameters
from shipments.api.openapi.documentation import REFERENCE, problem_responses
from shipments.api.shipments import schemas
from shipments.auth.subjects import Subject
from shipments.parsing import values
from shipments.parsing.query_parameters import Parameter, parse_parameters
from shipments.selectors import async_reads
from shipments.selectors import epoch as epochs
from shipments.selectors import shipments as selectors
from shipments.services import ShipmentNotFound

MAX_EVENTS: Final = 1000
MAX_WAIT_SECONDS: Final = 25
EVENT_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "after": Parameter(
        values.whole_number(0, 2**63 - 1),
        "`seq` of the newest event that the caller has. Default 0.",
        {"type": "integer", "minimum": 0, "default": 0},
    ),
    "epoch": Parameter(values.text_up_to(64), "The epoch that `after` belongs to."),
    "limit": Parameter(
        values.whole_number(1, MAX_EVENTS),
        "Maximum number of events. Default 200.",
        {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "default": 200},
    ),
    "wait": Parameter(
        values.whole_number(0, MAX_WAIT_SECONDS),
        "Seconds to wait for a new event where there is none yet. Default 0.",
        {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    ),
}


class EventsView(APIView):
    """The log of one shipment."""

    @extend_schema(
        operation_id="listShipmentEvents",
        parameters=[REFERENCE, *parameters.openapi_parameters(EVENT_PARAMETERS)],
        responses={200: schemas.EventLog, **problem_responses(400, 404)},
    )
    def get(self, request: Request, reference: str) -> HttpResponseBase:
        """List the events after `after`, in order and without a gap.

        `recovered: false`: read the shipment itself and go on from its `seq`. `reason` is `epoch` where the numbers
        are of another history, `ahead` where `after` is beyond the newest event, `forbidden` where the caller lost
        its access while it waited. Who is ahead, names no epoch and waits is told so after the wait.
        """
        subject = require_follower(request)
        query = parse_parameters(request.GET, EVENT_PARAMETERS)
        after, limit = query.get("after", 0), query.get("limit", 200)
        head = selectors.visible_shipments(subject).with_reference(reference).values_list("id", "seq").first()
        if head is None:
            raise ShipmentNotFound(reference)
        shipment_id, seq = head
        events = selectors.fetch_events(shipment_id, after, limit=limit, variant=subject.variant)
        epoch = epochs.read()  # after the rows: they are of this history, or the client's epoch is another one
        reason = unrecovered_reason(query.get("epoch", epoch), epoch, after=after, head=seq)
        if reason and not waits_ahead(query, reason):
            return Response(_unrecovered(epoch, seq, reason))
        if events or not query.get("wait"):
            return Response(_log_response(epoch, seq, events))
        long_poll.release_connection()
        body = _wait_for_events(
            subject, reference, shipment_id, epoch=epoch, after=after, seq=seq, limit=limit, seconds=query["wait"]
        )
        return StreamingHttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _log_response(epoch: str, seq: int, events: list[dict[str, Any]]) -> dict[str, Any]:
    newest = max(seq, events[-1]["seq"]) if events else seq
    return {"epoch": epoch, "seq": newest, "recovered": True, "events": events}


def unrecovered_reason(client_epoch: str, epoch: str, *, after: int, head: int) -> str | None:
    """Return why a client cannot go on from `after`: its number is of another history, or ahead of this one."""
    if client_epoch != epoch:
        return "epoch"
    return "ahead" if after > head else None


def waits_ahead(parsed: Mapping[str, Any], reason: str) -> bool:
    """Return whether a caller waits that is ahead and names no epoch: told at once, it would ask again at once."""
    return reason == "ahead" and bool(parsed.get("wait")) and "epoch" not in parsed


def _unrecovered(epoch: str, seq: int, reason: str) -> dict[str, Any]:
    return {"epoch": epoch, "seq": seq, "recovered": False, "reason": reason, "events": []}


async def _wait_for_events(
    subject: Subject,
    reference: str,
    shipment_id: uuid.UUID,
    *,
    epoch: str,
    after: int,
    seq: int,
    limit: int,
    seconds: int,
) -> AsyncIterator[bytes]:
    """Yield the whole response, as soon as there is a new event or the time is up."""
    long_poll.release_sync_thread()
    head_after = await long_poll.wait_for_head(shipment_id, epoch=epoch, after=min(after, seq), seconds=seconds)
    if head_after is None:
        body = _unrecovered(epoch, seq, "ahead") if after > seq else _log_response(epoch, after, [])
    else:
        current_epoch, head = head_after
        body = await _news(
            subject, reference, shipment_id, epoch=epoch, current_epoch=current_epoch, after=after, head=head,
            limit=limit,
        )  # fmt: skip
    yield encode(body)


async def _news(
    subject: Subject,
    reference: str,
    shipment_id: uuid.UUID,
    *,
    epoch: str,
    current_epoch: str,
    after: int,
    head: int,
    limit: int,
) -> dict[str, Any]:
    """Return what has come after `after`, unless the caller has lost access to the shipment while it waited."""
    if reason := unrecovered_reason(epoch, current_epoch, after=after, head=head):
        return _unrecovered(current_epoch, head, reason)
    visible = await async_reads.fetch_visible_references(subject, [reference])
    if not visible or await async_reads.has_lost_access(subject):
        return _unrecovered(epoch, after, "forbidden")
    events = await async_reads.fetch_events(shipment_id, after, limit=limit, variant=subject.variant)
    current_epoch = await async_reads.current_epoch()
    if current_epoch != epoch:
        return _unrecovered(current_epoch, head, "epoch")
    return _log_response(epoch, head, events)
