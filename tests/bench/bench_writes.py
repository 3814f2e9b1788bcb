"""Transitions at full speed: through REST on one Daphne, and through the service with eight connections.

Each is a command with an Idempotency-Key, as a carrier's system sends it: lock, event, audit and stored
response are in every commit. Over REST the CPU time of the Daphne counts, so that the client on the same
machine does not lower the figure; through the service it is commits a second of the whole machine, PostgreSQL
included.
"""

import argparse
import http.client
import json
import multiprocessing
import threading
import time
import uuid
from functools import partial
from typing import Any

import psutil

from tests.bench.harness import bench_database
from tests.drills.harness.presets import bench_server

CALLERS = 8
GOALS = {"restPerCpuSecond": 300.0, "servicePerSecond": 1500.0}
_TO = {"in_transit": "at_facility", "at_facility": "in_transit"}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line with the rates and their goals."""
    parser = argparse.ArgumentParser(prog="bench_writes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--shipments", type=int, default=2_000)
    options = parser.parse_args(arguments)
    bench_database.setup_django()
    bench_database.load_shipments(options.shipments, events=2.0)
    references = _in_transit(CALLERS * 20)
    with bench_server() as server:
        rest = through_rest(server, references, options.seconds)
    service = through_service(references, options.seconds)
    rates = rest | service
    result = {"bench": "writes"} | rates | {"goals": GOALS}
    print(json.dumps(result | {"met": {name: bool(rates[name] >= goal) for name, goal in GOALS.items()}}))
    return result


def through_rest(server: Any, references: list[str], seconds: float) -> dict[str, float]:
    """Send transitions over eight keep-alive connections; return rates a second of wall clock and of CPU time."""
    token = _login(server.port)
    process = psutil.Process(server.pid)
    counts = [0] * CALLERS
    start_barrier = threading.Barrier(CALLERS + 1)
    until = [0.0]

    def send_transitions(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        own_references, states = references[number::CALLERS], dict.fromkeys(references, "in_transit")
        start_barrier.wait()
        while time.monotonic() < until[0]:
            reference = own_references[counts[number] % len(own_references)]
            states[reference] = _TO[states[reference]]
            body = json.dumps({"to": states[reference]})
            headers = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Idempotency-Key": uuid.uuid4().hex,
            }
            connection.request("POST", f"/api/shipments/{reference}/transitions", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise SystemExit(f"transition of {reference}: {answer.status} {text[:300]!r}")
            counts[number] += 1

    threads = [threading.Thread(target=send_transitions, args=(number,), daemon=True) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    until[0] = time.monotonic() + seconds
    before, started = process.cpu_times(), time.monotonic()
    start_barrier.wait()
    for thread in threads:
        thread.join()
    wall_seconds, after = time.monotonic() - started, process.cpu_times()
    cpu_seconds = after.user + after.system - before.user - before.system
    transitions = sum(counts)
    return {
        "restPerSecond": round(transitions / wall_seconds, 1),
        "restPerCpuSecond": round(transitions / cpu_seconds, 1),
        "restCpuMs": round(cpu_seconds / transitions * 1000, 2),
    }


def through_service(references: list[str], seconds: float) -> dict[str, float]:
    """Call the service in eight processes with a connection each."""
    from django.db import connection, connections  # needs settings

    name = connection.settings_dict["NAME"]
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # of the PostgreSQL backend
    context = multiprocessing.get_context("fork")
    ready, done = context.Barrier(CALLERS), context.Queue()
    workers = [
        context.Process(target=_write_until, args=(references[number::CALLERS], seconds, name, ready, done))
        for number in range(CALLERS)
    ]
    for worker in workers:
        worker.start()
    rates = [done.get(timeout=seconds + 60) for _ in workers]
    for worker in workers:
        worker.join()
    return {"servicePerSecond": round(sum(rates), 1)}


def _write_until(own_references: list[str], seconds: float, database: str, ready: Any, done: Any) -> None:
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.utils import timezone

    from shipments import services
    from shipments.auth import subjects
    from shipments.services import idempotency, transactions

    connection.settings_dict["NAME"] = database
    user = get_user_model().objects.select_related("membership").get(email="dispatcher@demo.test")
    by = subjects.subject_of_user(user)
    assert by is not None
    states = {row.reference: row.status for row in _movable_shipments().filter(reference__in=own_references)}
    answer = idempotency.StoredResponse(200, {"ETag": '"1.0"'}, b"{}" * 300)

    def write(reference: str, key: str) -> None:
        claimed = idempotency.claim(by=by, now=timezone.now(), key=key, fingerprint=b"f" * 32)
        assert isinstance(claimed, idempotency.Claim)
        services.advance(by=by, now=timezone.now(), reference=reference, to=states[reference])
        idempotency.store_response(claimed, answer)

    ready.wait()
    number, started = 0, time.monotonic()
    while time.monotonic() - started < seconds:
        reference = own_references[number % len(own_references)]
        states[reference] = _TO[states[reference]]
        transactions.run_in_transaction(partial(write, reference, uuid.uuid4().hex))
        number += 1
    done.put(number / (time.monotonic() - started))


def _movable_shipments() -> Any:
    from shipments.models import Shipment  # needs settings

    shipments = Shipment.objects.filter(organization__slug="demo", deleted_at=None, status__in=list(_TO))
    return shipments.exclude(driver=None)


def _in_transit(limit: int) -> list[str]:
    rows = _movable_shipments().filter(status="in_transit").exclude(flags__contains=[{"flag": "on_hold"}])
    return list(rows.order_by("pk").values_list("reference", flat=True)[:limit])


def _login(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"email": "dispatcher@demo.test", "password": "freight-demo"})
    connection.request("POST", "/api/auth/login", body, {"Content-Type": "application/json"})
    return str(json.loads(connection.getresponse().read())["access"])


if __name__ == "__main__":
    main()
