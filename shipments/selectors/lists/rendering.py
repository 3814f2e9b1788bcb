"""Pages as JSON: `{"results": […], "next": …, "previous": …}`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from shipments.representation import Json, Row
from shipments.selectors.lists.keyset import Page
from shipments.selectors.lists.query import ListQuery


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page as JSON, path and query of the pages around it, and its ETag where it has one."""

    body: bytes
    next: str | None
    previous: str | None
    etag: str | None = None


def render_rows(query: ListQuery, page: Page, to_json: Callable[[Row], Json]) -> RenderedPage:
    """Return a page of rows; `to_json` makes one result of a row."""
    urls = query.page_url(page.next), query.page_url(page.previous)
    return RenderedPage(render_results([orjson.dumps(to_json(row)) for row in page.rows], *urls), *urls)


def render_results(
    results: Sequence[bytes], next_url: str | None, previous_url: str | None, more: Mapping[str, str] | None = None
) -> bytes:
    """Return the JSON of a page whose results are JSON already, with the members `more` at its end."""
    ends = orjson.dumps({"next": next_url, "previous": previous_url, **(more or {})})
    return b'{"results":[' + b",".join(results) + b"]," + ends[1:]
