"""The doors of the product, generated from its URLs: each response and each frame as a text."""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as combinations
from typing import Any, Final

import httpx
from django.urls import URLPattern, URLResolver

from exports.reports.definitions import REPORTS
from freight import urls
from monitoring import urls as monitoring_urls
from shipments.domain import lifecycle
from tests.exports import pdf_reader
from tests.journeys.visibility.world import Viewer, World, hours
from tests.shipments.api.test_tenancy import BODIES

FORMATS: Final = ("csv", "xlsx", "json", "ndjson", "pdf")
# Operators' own; what ends the caller's login, or needs no account; and streams, which `live.py` reads.
_LEFT_OUT: Final = {str(each.name) for each in monitoring_urls.urlpatterns} | {
    "osmand",
    "login",
    "refresh",
    "logout",
    "shipment-stream",
    "feed-stream",
}
_PAGES: Final = ("board", "board-document", "exports-page", "imports-page", "imports-template", "login-page")
_SECONDS: Final = 60


@dataclass(frozen=True)
class Look:
    """What one request or socket showed, without what the viewer sent itself."""

    door: str
    status: int
    text: str


@dataclass(frozen=True)
class Route:
    """One route of the API: its name, the parts of its path, and its parameters."""

    name: str
    template: str
    parameters: tuple[str, ...]

    def paths(self, names: Mapping[str, Sequence[Any]]) -> Iterator[str]:
        """Yield the path of every object that there is."""
        for values in combinations(*(names[each] for each in self.parameters)):
            path = self.template
            for parameter, value in zip(self.parameters, values, strict=True):
                start = path.index("<")
                assert parameter in path[start : path.index(">")]
                path = path[:start] + str(value) + path[path.index(">") + 1 :]
            yield path


def routes() -> list[Route]:
    """Return every route below /api/, without those of operators."""
    found: list[Route] = []
    pending: list[tuple[str, Any]] = [("/", each) for each in urls.urlpatterns]
    while pending:
        prefix, pattern = pending.pop()
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            pending.extend((path, each) for each in pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and path.startswith("/api/") and pattern.name not in _LEFT_OUT:
            found.append(Route(str(pattern.name), path, tuple(pattern.pattern.converters)))
    return sorted(found, key=lambda each: each.template)


def names_of(world: World) -> dict[str, list[Any]]:
    """Return the values of each parameter of a route: own objects and those of others."""
    return world.names | {
        "reference": ["A1", "A2", "A3", "A4", world.other_reference],
        "driver_id": [world.drivers[0].pk, world.other_driver.pk],
        "customer_id": [world.customer.pk, world.other_customer.pk],
        "checkpoint_id": [world.checkpoint_id],
        "seq": [1, 2],
        "flag": ["damaged"],
        "code": ["not_found"],
        "kind": ["bol", "label", "pod"],
        "extension": list(FORMATS),
        "rest": ["x"],
    }


def column_groups(report: str, extension: str) -> list[list[str]]:
    """Return the columns of a report, in groups that a format has room for."""
    columns = [*REPORTS[report].columns]
    size = 12 if extension == "pdf" else len(columns)
    return [columns[first : first + size] for first in range(0, len(columns), size)]


def queries(route: Route, path: str) -> list[str]:
    """Return the query strings with which a path of a route is read."""
    if route.name.startswith("export-") and "extension" in route.parameters:
        report = route.name.removeprefix("export-").partition("-")[0]
        return [f"?fields={','.join(group)}" for group in column_groups(report, path.rpartition(".")[2])]
    moments = ",".join(hours(number).strftime("%Y-%m-%dT%H:%M:%SZ") for number in (1.2, 5.5, 11)).split(",")
    return {
        "shipment": ["", *(f"?asOf={moment}" for moment in moments)],
        "shipments": ["", "?limit=200", f"?status={','.join(lifecycle.STATES)}&ordering=eta", "?flag=damaged"],
        "shipment-events": ["?limit=1000"], "feed": ["?limit=1000"], "audit-log": ["?limit=200"],
        "user-search": ["?q=zq", "?q=example.test"],
    }.get(route.name, [""])  # fmt: skip


class RestWalk:
    """All of REST as one viewer: reads by the fast path and by Django, then writes with valid bodies.

    Drawing takes seconds: only some viewers look at PDFs.
    """

    def __init__(self, url: str, viewer: Viewer, world: World) -> None:
        self._http = httpx.Client(base_url=url, timeout=_SECONDS, headers=viewer.headers)
        self._world, self._with_pdf = world, viewer.name in {"customer", "admin"}

    def reads(self) -> Iterator[Look]:
        names = names_of(self._world)
        for route in routes():
            for path in route.paths(names):
                if path.endswith(".pdf") and not self._with_pdf:
                    continue
                for query in queries(route, path):
                    yield from self._read(f"{path}{query}")

    def _read(self, target: str | None) -> Iterator[Look]:
        while target:
            response = self._http.get(target)
            yield look(response, target)
            # A cookie is what the fast path leaves to Django.
            if target.startswith("/api/shipments") and not target.endswith((".pdf", ".xlsx")):
                yield look(self._http.get(target, headers={"Cookie": "x=1"}), target)
            is_json = response.headers["content-type"] == "application/json" and response.is_success
            body = response.json() if is_json else None
            target = body.get("next") if isinstance(body, dict) else None

    def writes(self) -> Iterator[Look]:
        names = names_of(self._world)
        for route in routes():
            for path in route.paths(names):
                for method in ("POST", "PATCH", "PUT", "DELETE"):
                    body = BODIES.get(route.name, {})
                    response = self._http.request(method, path, json=body, headers={"If-Match": "*"})
                    yield look(response, path, method)

    def searches(self) -> Iterator[tuple[str, list[Any]]]:
        """Search the shipments for every mark that was planted, and yield what is found by it."""
        for mark in self._world.marks.fields:
            response = self._http.get("/api/shipments", params={"q": mark[:200]})
            yield mark, response.json().get("results", [])

    def close(self) -> None:
        self._http.close()


def look(response: httpx.Response, target: str, method: str = "GET") -> Look:
    """Return what a response shows: its text, or the text of its PDF or workbook, and its headers."""
    text = _text(response) + repr(sorted(response.headers.items()))
    for sent in {target, target.partition("?")[0], httpx.URL(target).raw_path.decode()}:
        text = text.replace(sent, "")
    return Look(f"{method} {target[:120]}", response.status_code, text)


def _text(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "")
    if kind.startswith("application/pdf"):
        return pdf_reader.text(response.content)
    if "spreadsheetml" in kind and response.is_success:
        with zipfile.ZipFile(io.BytesIO(response.content)) as workbook:
            return "\n".join(workbook.read(name).decode("utf-8", "replace") for name in workbook.namelist())
    return response.text


def walk_pages(url: str, viewer: Viewer) -> Iterator[Look]:
    """Open every page with the session of a viewer."""
    paths = {str(each.name): f"/{each.pattern}" for each in urls.urlpatterns if isinstance(each, URLPattern)}
    with httpx.Client(base_url=url, timeout=_SECONDS, headers={"Cookie": viewer.cookie}) as http:
        for name in _PAGES:
            for query in ("", "?q=A1"):
                yield look(http.get(paths[name] + query), paths[name] + query)
        yield look(http.get("/admin/"), "/admin/")
