"""REST beside what others would have built: Express with Prisma, Express with pg, plain DRF on stock Daphne.

All read the same tables; Freight authenticates, limits, measures and logs each request, the peers do none of
it. One process each, sixteen connections, each kind of request in turn, five rounds. What counts is requests a
second of the server's CPU time: the load and PostgreSQL run on the same machine. "Fresh" is a page that is not
cached, "same" a cached one.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.bench.harness import bench_database
from tests.drills.harness.presets import bench_server

CONNECTIONS = 16
SHIPMENTS = 2_000


@dataclass(frozen=True)
class RequestMode:
    """One kind of request to a server: a name, the next request's bytes, and the server's CPU seconds."""

    name: str
    port: int
    next: Callable[[], bytes]
    cpu: Callable[[], float]


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with rates and the ratios that the goals are about."""
    parser = argparse.ArgumentParser(prog="bench_peers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.load_shipments(SHIPMENTS, events=4.0)
    from django.db import connection  # needs settings

    from shipments.models import Organization
    from shipments.services.feed.sequencer import number_batch
    from tests.bench.rest import peers

    while number_batch():
        pass  # pages are cached once the feed is numbered, as the relay does it
    database = connection.settings_dict | {"PORT": ""}
    organization = str(Organization.objects.get(slug="demo").pk)
    with tempfile.TemporaryDirectory() as name, bench_server() as ours:
        peer_servers = peers.plan_peers(Path(name), database, organization)
        try:
            for peer in peer_servers:
                peer.start()
            modes = _request_modes(ours, peer_servers)
            rates = asyncio.run(_measure(modes, options.rounds, options.seconds))
        finally:
            for peer in peer_servers:
                peer.stop()
    result = {"bench": "peers"} | _check_goals(rates)
    print(json.dumps(result))
    return result


def _request_modes(freight: Any, peer_servers: list[Any]) -> list[RequestMode]:
    token, reference, etag = _login_and_pick(freight.url)
    process = psutil.Process(freight.pid)
    numbers = itertools.count(1)

    def cpu() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    def freight_mode(name: str, path: Callable[[], str], *more: str) -> RequestMode:
        return RequestMode(
            name, freight.port, lambda: _request(path(), f"Authorization: Bearer {token}", *more), cpu
        )

    def uncached_path() -> str:
        return f"/api/shipments?limit=50&createdAfter=2020-01-01T00:00:00.{next(numbers):06}Z"

    ways = [
        freight_mode("listFresh", uncached_path),
        freight_mode("listSame", lambda: "/api/shipments?limit=50"),
        freight_mode("oneWarm", lambda: f"/api/shipments/{reference}"),
        freight_mode("oneNotModified", lambda: f"/api/shipments/{reference}", f"If-None-Match: {etag}"),
    ]
    for peer in peer_servers:
        for name, path in (("List", "/shipments"), ("One", f"/shipments/{reference}"), ("Empty", "/")):
            request = partial(_request, path)
            ways.append(RequestMode(f"{peer.name}{name}", peer.port, request, peer.cpu_seconds))
    return ways


def _login_and_pick(url: str) -> tuple[str, str, str]:
    """Return a token, a shipment and its ETag."""
    with httpx.Client(base_url=f"{url}/api", timeout=30) as client:
        who = {"email": "dispatcher@demo.test", "password": "freight-demo"}
        token = client.post("/auth/login", json=who).json()["access"]
        client.headers["Authorization"] = f"Bearer {token}"
        reference = client.get("/shipments?limit=1&status=delivered").json()["results"][0]["reference"]
        return token, reference, client.get(f"/shipments/{reference}").headers["ETag"]


def _request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


async def _measure(ways: list[RequestMode], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    rates: dict[str, dict[str, list[float]]] = {way.name: {"perSecond": [], "perCpuSecond": []} for way in ways}
    for way in ways:
        await _run_for(way, 0.5)  # warm
    for _ in range(rounds):
        for way in ways:
            before, started = way.cpu(), time.monotonic()
            completed = await _run_for(way, seconds)
            rates[way.name]["perSecond"].append(completed / (time.monotonic() - started))
            rates[way.name]["perCpuSecond"].append(completed / max(way.cpu() - before, 0.01))
    return {
        name: {of: round(statistics.median(values), 1) for of, values in each.items()}
        for name, each in rates.items()
    }


async def _run_for(mode: RequestMode, seconds: float) -> int:
    """Send requests over sixteen keep-alive connections for `seconds`, and return how many were answered."""
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_request_until(mode, until) for _ in range(CONNECTIONS))))


async def _request_until(mode: RequestMode, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", mode.port, limit=1 << 20)
    completed = 0
    try:
        while time.monotonic() < until:
            writer.write(mode.next())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head[9:12])
            if status not in {200, 304}:
                raise SystemExit(f"{mode.name}: {status} {await reader.read(300)!r}")
            if status == 200:
                if b"content-length: " in head:
                    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                else:
                    while size := int(await reader.readline(), 16):
                        await reader.readexactly(size + 2)
                    await reader.readline()
            completed += 1
    finally:
        writer.close()
    return completed


def _check_goals(rates: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return the rates, the ratios by processor time, and which goals are met."""

    def ratio(one: str, other: str) -> float:
        return round(rates[one]["perCpuSecond"] / rates[other]["perCpuSecond"], 2)

    goals = {
        "listFreshByExpressPrisma": (ratio("listFresh", "expressPrismaList"), 1.4),
        "listFreshByPlainDrf": (ratio("listFresh", "plainDrfList"), 4.0),
        "listSameByExpressPrisma": (ratio("listSame", "expressPrismaList"), 4.0),
        "listSameByExpressPg": (ratio("listSame", "expressPgList"), 1.3),
        "oneWarmByEmptyOfDaphne": (ratio("oneWarm", "plainDrfEmpty"), 0.9),
        "oneNotModifiedByEmptyOfDaphne": (ratio("oneNotModified", "plainDrfEmpty"), 0.9),
    }
    return {
        "rates": rates,
        "ratios": {name: value for name, (value, _) in goals.items()},
        "goals": {name: goal for name, (_, goal) in goals.items()},
        "met": {name: value >= goal for name, (value, goal) in goals.items()},
    }


if __name__ == "__main__":
    main()
