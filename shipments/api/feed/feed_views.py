"""The organisation feed: all events in one gapless order, by pages or by long poll."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments.api.feed import schemas
from shipments.api.http import long_poll
from shipments.api.http.renderers import encode
from shipments.api.http.requests import require_reader
from shipments.api.lists import parameters
from shipments.api.openapi.documentation import problem_responses
from shipments.api.shipments.event_views import EVENT_PARAMETERS, unrecovered_reason, waits_ahead
from shipments.auth.subjects import Subject
from shipments.models import EventType, Role
from shipments.parsing import values
from shipments.parsing.query_parameters import DATE_TIME_SCHEMA, Parameter, parse_parameters
from shipments.selectors import async_reads, feed
from shipments.selectors import epoch as epochs
from shipments.selectors import shipments as selectors
from shipments.selectors.feed import FeedPage, FeedQuery
from shipments.services import FeedNotFound, ShipmentNotFound

_PARAMETERS: Final[Mapping[str, Parameter]] = {
    **EVENT_PARAMETERS,
    "after": Parameter(
        values.whole_number(0, 2**63 - 1),
        "Position after which to read: `nextAfter` of the answer before. Default 0.",
        {"type": "integer", "minimum": 0, "default": 0},
    ),
    "type": Parameter(
        values.choice_list(EventType.values),
        f"Types of events, separated by commas: {', '.join(EventType.values)}.",
    ),
    "reference": Parameter(values.text_up_to(64), "Events of this shipment alone; 404 where it cannot be seen."),
    "since": Parameter(values.query_instant, "Events that were recorded at this time or later.", DATE_TIME_SCHEMA),
}


class FeedView(APIView):
    """The feed of the caller's organisation."""

    @extend_schema(
        operation_id="listEvents",
        parameters=parameters.openapi_parameters(_PARAMETERS),
        responses={200: schemas.Feed, **problem_responses(400, 404)},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List the events of the organisation after position `after`, in order and without a gap.

        Go on from `nextAfter`, which moves on also where nothing matches. `recovered: false`: read the shipments
        themselves and go on from `seq`; `reason` is `epoch` where the positions are of another history, `ahead`
        where `after` is beyond the newest one, `forbidden` where the caller lost its access while it waited.
        Customers get the events of the shipments that are theirs now, with the same positions; 404 for drivers,
        who follow each shipment.
        """
        subject = require_reader(request)
        if not (subject.sees_all_shipments or subject.role == Role.CUSTOMER):
            raise FeedNotFound
        parsed = parse_parameters(request.GET, _PARAMETERS)
        after, limit = parsed.get("after", 0), parsed.get("limit", 200)
        query = _feed_query(subject, parsed)
        page = feed.read_page(query, after, limit=limit)
        epoch = epochs.read()  # after the entries: they are of this history, or the client's epoch is another one
        reason = unrecovered_reason(parsed.get("epoch", epoch), epoch, after=after, head=page.head)
        if reason and not waits_ahead(parsed, reason):
            return Response(_unrecovered(epoch, page.head, reason))
        if page.entries or page.read_to < page.head or not parsed.get("wait"):
            return Response(_feed_response(epoch, page))
        long_poll.release_connection()
        body = _wait_for_entries(query, page, limit=limit, seconds=parsed["wait"], epoch=epoch)
        return StreamingHttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _feed_query(subject: Subject, parsed: Mapping[str, Any]) -> FeedQuery:
    """Return what the parameters ask for; raises ShipmentNotFound."""
    shipment_id = None
    if reference := parsed.get("reference"):
        rows = selectors.visible_shipments(subject).with_reference(reference)
        shipment_id = rows.values_list("id", flat=True).first()
        if shipment_id is None:
            raise ShipmentNotFound(reference)
    return FeedQuery(subject, parsed.get("type", ()), shipment_id, parsed.get("since"))


def _feed_response(epoch: str, page: FeedPage) -> dict[str, Any]:
    # Who goes on from `seq` where there was no event must not pass over what was not read.
    seq = page.head if page.entries else page.read_to
    return {"epoch": epoch, "seq": seq, "nextAfter": page.read_to, "recovered": True, "events": page.entries}


def _unrecovered(epoch: str, head: int, reason: str) -> dict[str, Any]:
    return {"epoch": epoch, "seq": head, "nextAfter": head, "recovered": False, "reason": reason, "events": []}


async def _wait_for_entries(
    query: FeedQuery, page: FeedPage, *, limit: int, seconds: int, epoch: str
) -> AsyncIterator[bytes]:
    """Yield the whole response, as soon as an entry matches or the time is up; holds no thread."""
    long_poll.release_sync_thread()
    deadline = long_poll.Deadline(seconds)
    reason = None
    while not page.entries and reason is None:
        head_after = await long_poll.wait_for_head(
            query.subject.organization_id,
            epoch=epoch,
            after=min(page.read_to, page.head),
            seconds=deadline.remaining(),
        )
        if head_after is None:
            break
        current_epoch, head = head_after
        position = page.read_to
        if await async_reads.has_lost_access(query.subject):
            reason, epoch = "forbidden", current_epoch
            break
        page = await async_reads.fetch_feed_page(query, position, head, limit=limit)
        if current_epoch == epoch:
            current_epoch = await async_reads.current_epoch()
        reason, epoch = unrecovered_reason(epoch, current_epoch, after=position, head=head), current_epoch
    if reason is None and page.read_to > page.head:
        reason = "ahead"
    yield encode(_unrecovered(epoch, page.head, reason) if reason else _feed_response(epoch, page))
