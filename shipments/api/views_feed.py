"""The organisation feed: everything that happened, in one gapless order."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments.access import Subject
from shipments.api import parameters, shapes, waiting
from shipments.api.documentation import problems
from shipments.api.renderers import encode
from shipments.api.views import reader
from shipments.api.views_events import EVENTS, let_go
from shipments.selectors import epoch as epochs
from shipments.selectors import feed, live
from shipments.selectors.parameters import Parameter
from shipments.services import FeedNotFound

_PARAMETERS: Final[Mapping[str, Parameter]] = {name: EVENTS[name] for name in ("after", "limit", "wait")}


class FeedView(APIView):
    """The feed of the caller's organisation."""

    @extend_schema(
        operation_id="listEvents",
        parameters=parameters.described(_PARAMETERS),
        responses={200: shapes.Feed, **problems(400, 404)},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Page through everything that happened in the organisation, without a gap.

        Only for those who see every shipment; for others there is no feed.
        """
        subject = reader(request)
        if not subject.sees_all_shipments:
            raise FeedNotFound
        asked = parameters.parse_parameters(request.GET, _PARAMETERS)
        after, limit = asked.get("after", 0), asked.get("limit", 200)
        entries = feed.fetch_entries(subject, after, limit=limit)
        head = feed.head_position(subject)
        if entries or not asked.get("wait"):
            return Response(_found(epochs.current(), head, entries))
        let_go()
        body = _wait(subject, after=after, limit=limit, seconds=asked["wait"], epoch=epochs.current(), head=head)
        return StreamingHttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _found(epoch: str, head: int, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"epoch": epoch, "seq": max(head, entries[-1]["position"] if entries else 0), "events": entries}


async def _wait(
    subject: Subject, *, after: int, limit: int, seconds: int, epoch: str, head: int
) -> AsyncIterator[bytes]:
    """This will yield the one answer, as soon as something is new or the time is up; it holds no thread."""
    waiting.let_thread_go()
    news = await waiting.news(subject.organization_id, epoch=epoch, after=after, seconds=seconds)
    if news is None:
        yield encode(_found(epoch, head, []))
    else:
        today, newest = news
        yield encode(_found(today, newest, await live.fetch_feed(subject.organization_id, after, limit=limit)))
