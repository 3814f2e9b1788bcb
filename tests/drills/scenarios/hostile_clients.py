"""Scenarios of hostile clients: thousands that connect and say nothing, and one that tries every path."""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.drills.checks import resource_usage
from tests.drills.checks.evidence import Evidence
from tests.drills.checks.resource_usage import MIB
from tests.drills.clients.http_client import HttpClient
from tests.drills.harness import procfs
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage
from tests.drills.scenarios.scale import ScenarioScale
from tests.drills.scenarios.traffic import Traffic

MAX_LATENCY: Final = 2.5
MAX_KIB_PER_SILENT_CLIENT: Final = 64
MAX_LOG_BYTES_PER_REQUEST: Final = 1_000
MAX_GROWTH: Final = 50 * MIB
_CONNECTS_AT_ONCE: Final = 50
# A pool may just be growing.
_ALLOWED_DESCRIPTORS: Final = 8
_CLOSE_SECONDS: Final = 10.0
_UPGRADE: Final = (
    "GET /ws/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Protocol: freight.v1\r\n{authorization}\r\n"
)
_PROBERS: Final = 4
_FOREIGN_HOST_EVERY: Final = 3
_SAMPLE: Final = re.compile(rb"^([a-z_]+(?:\{[^\n]*\})?) ", re.MULTILINE)
# Series of processes that publish at times of their own, and of what the writers do meanwhile.
_OWN_TIMES: Final = re.compile(rb'process="(ws|relay)-|^(shipment|websocket|db_|cache_|hint)')


async def silent_clients(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Open very many connections of four kinds that say nothing more, at nginx and at a Daphne itself."""
    async with Traffic(stage, "silent clients", seed=seed) as traffic:
        before = resource_usage.sample_usage(stage)
        kinds = {
            "nothing": "",
            "half a request": "GET /api/shipments HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ",
            "no credential": _UPGRADE.format(authorization=""),
            "authenticated": _UPGRADE.format(authorization="Authorization: Bearer {key}\r\n"),
        }
        writers: list[asyncio.StreamWriter] = []
        try:
            for first_words in kinds.values():
                writers += await _connect_silently(traffic, first_words, scale.silent_clients)
            during = resource_usage.sample_usage(stage)
            await traffic.wait_for_writes(20)
            await asyncio.sleep(scale.silent_seconds)
        finally:
            for writer in writers:
                writer.transport.abort()
        after = await _wait_until_released(stage, before)
        traffic.mark_faults_over()
        evidence = await traffic.evaluate(max_latency=MAX_LATENCY, sockets_stay=True)
        _check_silence(evidence, len(writers), before, during, after)
        return evidence


async def _connect_silently(traffic: Traffic, first_words: str, number: int) -> list[asyncio.StreamWriter]:
    """Open connections, half of them at nginx, each of which sends its first words and nothing after them."""
    slots = asyncio.Semaphore(_CONNECTS_AT_ONCE)
    keys = traffic.stage.seeded.api_keys
    doors: tuple[int | Path, ...] = (traffic.stage.port, traffic.stage[WS_ROLES[0]].socket)

    async def connect(index: int) -> asyncio.StreamWriter:
        async with slots:
            door = doors[index % len(doors)]
            if isinstance(door, Path):
                reader, writer = await asyncio.open_unix_connection(str(door))
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", door)
            writer.write(first_words.replace("{key}", keys[index % len(keys)]).encode())
            if "Upgrade: websocket" in first_words:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 101"):
                    raise RuntimeError(f"A silent client was refused: {head[:100]!r}")
            return writer

    return list(await asyncio.gather(*(connect(index) for index in range(number))))


async def _wait_until_released(
    stage: ProductStage, before: resource_usage.ResourceUsage
) -> resource_usage.ResourceUsage:
    """Sample once the servers have as many descriptors as before, or after ten seconds."""
    deadline = time.monotonic() + _CLOSE_SECONDS
    while True:
        usage = resource_usage.sample_usage(stage)
        released = all(usage.files[name] <= before.files[name] + _ALLOWED_DESCRIPTORS for name in WS_ROLES)
        if released or time.monotonic() > deadline:
            return usage
        await asyncio.sleep(0.1)


def _check_silence(
    evidence: Evidence,
    clients: int,
    before: resource_usage.ResourceUsage,
    during: resource_usage.ResourceUsage,
    after: resource_usage.ResourceUsage,
) -> None:
    growth = sum(during.memory[name] - before.memory[name] for name in WS_ROLES) / 1024 / clients
    evidence.figures |= {
        "silent clients": clients,
        "memory": f"{growth:.1f} KiB each",
        "descriptors": {name: (before.files[name], during.files[name], after.files[name]) for name in WS_ROLES},
        "sessions of PostgreSQL": (before.sessions, during.sessions),
    }
    if growth > MAX_KIB_PER_SILENT_CLIENT:
        evidence.broken.append(f"A client that says nothing costs {growth:.0f} KiB.")
    for resource, count in after.bounded_counts().items():
        if count > before.bounded_counts()[resource] + _ALLOWED_DESCRIPTORS:
            evidence.broken.append(f"{resource}: {before.bounded_counts()[resource]} became {count}.")


async def random_paths(stage: ProductStage, scale: ScenarioScale, seed: int) -> Evidence:
    """Ask for very many paths that are not there, each with words of its own, some at other hosts."""
    async with Traffic(stage, "random paths", seed=seed, writer_count=1, subscriber_count=4) as traffic:
        chance = random.Random(seed)
        paths = [_random_path(chance, number) for number in range(scale.random_paths)]
        await _probe(stage, [_random_path(chance, -number) for number in range(1, 60)])
        await _series(stage)  # its own series
        series, memory, logged = await _series(stage), _memory(stage), _logged(stage)
        began = time.monotonic()
        statuses = await _probe(stage, paths)
        seconds = time.monotonic() - began
        fresh, growth = await _series(stage) - series, max(_memory(stage)[name] - memory[name] for name in memory)
        traffic.mark_faults_over()
        evidence = await traffic.evaluate(max_latency=MAX_LATENCY, sockets_stay=True)
        log_bytes = (_logged(stage) - logged) / len(paths)
        log_lines = stage[API_ROLES[0]].log.read_bytes().splitlines()
        named = next((line for line in log_lines if b"zz-probe" in line), b"")
        evidence.figures |= {
            "paths": f"{len(paths)} in {seconds:.0f} s, answered {sorted(statuses)}",
            "memory": f"{growth / MIB:+.1f} MiB",
            "log": f"{log_bytes:.0f} bytes a request",
        }
        _expect(evidence, not fresh, f"{len(fresh)} new series, such as {sorted(fresh)[:2]}.")
        _expect(evidence, growth < MAX_GROWTH, f"A process grew by {growth / MIB:.0f} MiB.")
        _expect(evidence, log_bytes < MAX_LOG_BYTES_PER_REQUEST, f"A request logs {log_bytes:.0f} bytes.")
        _expect(evidence, not named, f"A stranger's words are logged: {named[:300]!r}")
        _expect(evidence, statuses <= {400, 403, 404, 405, 429}, f"Answered {sorted(statuses)}.")
        return evidence


def _expect(evidence: Evidence, holds: bool, sentence: str) -> None:
    if not holds:
        evidence.broken.append(sentence)


def _random_path(chance: random.Random, number: int) -> str:
    """Return a path that no route has, below each prefix that one has in turn."""
    prefixes = ("/", "/api/", "/api/shipments/", "/admin/", "/static/", "/api/exports/", "/track/")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-._~/%41"
    rest = "".join(chance.choices(letters, k=chance.randrange(1, 60))).strip("%").replace("%", "%2e")
    return f"{prefixes[number % len(prefixes)]}zz-probe-{number}/{rest}?q={number}"


async def _probe(stage: ProductStage, paths: Sequence[str]) -> set[int]:
    """Ask for the paths at an api Daphne itself, as nginx would for a stranger, and return the statuses."""
    statuses: set[int] = set()

    async def probe(own_paths: Sequence[str]) -> None:
        client = HttpClient(stage[API_ROLES[0]].socket)
        for number, path in enumerate(own_paths):
            method = ("GET", "POST", "PURGE", f"M{number % 1000}")[number % 4]
            response = await client.request(
                method,
                path,
                User_Agent=f"zz-probe {number}",
                X_Forwarded_For="198.51.100.77",
                Host="127.0.0.1" if number % _FOREIGN_HOST_EVERY else f"stranger-{number}.example",
            )
            statuses.add(response.status)
        await client.close()

    await asyncio.gather(*(probe(paths[first::_PROBERS]) for first in range(_PROBERS)))
    return statuses


async def _series(stage: ProductStage) -> set[bytes]:
    """Return the names and labels of the series of what answers REST."""
    client = HttpClient(stage[API_ROLES[0]].socket)
    page = await client.request("GET", "/api/metrics", X_Forwarded_For="127.0.0.1")
    await client.close()
    if page.status != 200:
        raise RuntimeError(f"The metrics were not shown: {page.status}")
    return {sample for sample in _SAMPLE.findall(page.body) if not _OWN_TIMES.search(sample)}


def _memory(stage: ProductStage) -> dict[str, int]:
    return {name: procfs.resident_bytes(stage[name].pid) for name in API_ROLES}


def _logged(stage: ProductStage) -> int:
    return stage[API_ROLES[0]].log.stat().st_size
