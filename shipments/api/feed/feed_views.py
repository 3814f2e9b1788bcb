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
from shipments.api.shipments.event_views import EVENT_PARAMETERS
from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import Parameter, parse_parameters
from shipments.selectors import async_reads, feed
from shipments.selectors import epoch as epochs
from shipments.services import FeedNotFound

_PARAMETERS: Final[Mapping[str, Parameter]] = EVENT_PARAMETERS


class FeedView(APIView):
    """The feed of the caller's organisation."""

    @extend_schema(
        operation_id="listEvents",
        parameters=parameters.openapi_parameters(_PARAMETERS),
        responses={200: schemas.Feed, **problem_responses(400, 404)},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List the events of the organisation after position `after`, in order and without a gap.

        `recovered: false` where the epoch has changed: read the shipments themselves and go on from `seq`. Only for
        callers that see every shipment of the organisation; 404 for others.
        """
        subject = require_reader(request)
        if not subject.sees_all_shipments:
            raise FeedNotFound
        query = parse_parameters(request.GET, _PARAMETERS)
        after, limit = query.get("after", 0), query.get("limit", 200)
        entries = feed.fetch_entries(subject, after, limit=limit)
        head = feed.head_position(subject)
        epoch = epochs.read()  # after the entries: they are of this history, or the client's epoch is another one
        if query.get("epoch", epoch) != epoch or after > head:
            return Response(_epoch_changed_response(epoch, head))
        if entries or not query.get("wait"):
            return Response(_feed_response(epoch, head, entries))
        long_poll.release_connection()
        body = _wait_for_entries(subject, after=after, limit=limit, seconds=query["wait"], epoch=epoch, head=head)
        return StreamingHttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _feed_response(epoch: str, head: int, entries: list[dict[str, Any]]) -> dict[str, Any]:
    newest = max(head, entries[-1]["position"] if entries else 0)
    return {"epoch": epoch, "seq": newest, "recovered": True, "events": entries}


def _epoch_changed_response(epoch: str, head: int) -> dict[str, Any]:
    return {"epoch": epoch, "seq": head, "recovered": False, "reason": "epoch", "events": []}


async def _wait_for_entries(
    subject: Subject, *, after: int, limit: int, seconds: int, epoch: str, head: int
) -> AsyncIterator[bytes]:
    """Yield the whole response, as soon as there is a new entry or the time is up; holds no thread."""
    long_poll.release_sync_thread()
    head_after = await long_poll.wait_for_head(subject.organization_id, epoch=epoch, after=after, seconds=seconds)
    if head_after is None:
        body = _feed_response(epoch, head, [])
    else:
        current_epoch, newest = head_after
        entries = await async_reads.fetch_feed(subject.organization_id, after, limit=limit)
        if current_epoch == epoch:
            current_epoch = await async_reads.current_epoch()
        body = (
            _feed_response(epoch, newest, entries)
            if current_epoch == epoch
            else _epoch_changed_response(current_epoch, newest)
        )
    yield encode(body)
