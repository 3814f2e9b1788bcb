"""The response of every list that pages by keyset: the last step of a list read, see `selectors.lists.parsing`."""

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from shipments.api.http import conditional
from shipments.selectors.lists.rendering import RenderedPage


def page_response(request: HttpRequest | Request, page: RenderedPage) -> HttpResponse:
    """Return a page with `Link` (RFC 8288) to the pages around it; 304 where the client has its ETag already."""
    is_fresh = page.etag is not None and conditional.is_fresh(request, page.etag)
    response = conditional.json_response(None if is_fresh else page.body, page.etag)
    links = [(page.next, "next"), (page.previous, "prev")]
    if link := ", ".join(f'<{url}>; rel="{rel}"' for url, rel in links if url):
        response["Link"] = link
    return response
