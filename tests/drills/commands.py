"""The sub-commands of `manage.py drill`: their arguments, and what is printed of each."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from django.core.management.base import CommandError

from tests.drills import exports, imports, leak, orders, own_services, relay, spreadsheets
from tests.drills.alerts import runner as alerts
from tests.drills.alerts.prometheus import PrometheusMissing, alert_names
from tests.drills.harness.waiting import describe
from tests.drills.restores import runner as restores
from tests.drills.scenarios import runner as delivery

# Kills of the relay, in the quick and in the long form.
_RELAY_KILLS: Final = (5, 50)
_EXPORT_KILLS: Final = (5, 20)
_EXPORT_ROWS: Final = 20_000
# Kills of the relay and rows of the file; of one import there are ten attempts.
_IMPORT: Final = ((3, 10_000), (9, 60_000))
# The drills that start a whole stage themselves. The others write by Django's settings, on services of their own.
_WITH_A_STAGE: Final = ("delivery", "alerts", "restore")


class Evidence(Protocol):
    """What every drill returns: whether its promise held, and the figures."""

    @property
    def holds(self) -> bool: ...
    def as_json(self) -> dict[str, Any]: ...


def add_arguments(parser: ArgumentParser) -> None:
    """Declare a sub-command for each drill, with its length and its seed."""
    subparsers = parser.add_subparsers(dest="name", required=True)
    relay_parser = subparsers.add_parser("relay", help="the relay killed at random")
    delivery_parser = subparsers.add_parser("delivery", help="the whole fault table")
    alerts_parser = subparsers.add_parser(
        "alerts", help="the fault of each alert injected, under a real Prometheus with the shipped rules"
    )
    restore_parser = subparsers.add_parser(
        "restore", help="the database put back in three ways, and every door asked"
    )
    restore_parser.add_argument("--quick", action="store_true", help="under running processes alone")
    leak_parser = subparsers.add_parser(
        "leak", help="the same requests to a Daphne, round after round: memory must not grow"
    )
    exports_parser = subparsers.add_parser("exports", help="the relay killed while it writes exports")
    imports_parser = subparsers.add_parser("imports", help="the relay killed while it imports")
    orders_parser = subparsers.add_parser(
        "orders", help="a relay killed and tables locked at each step of an export's and an import's life"
    )
    subparsers.add_parser("spreadsheets", help="exports opened and saved by LibreOffice")
    for parser_with_seed in (
        relay_parser,
        delivery_parser,
        alerts_parser,
        leak_parser,
        exports_parser,
        imports_parser,
        orders_parser,
    ):
        parser_with_seed.add_argument("--quick", action="store_true", help="fewer faults, shorter ones")
        parser_with_seed.add_argument("--seed", type=int, default=1)
    delivery_parser.add_argument(
        "--row",
        action="append",
        default=[],
        choices=list(delivery.SCENARIOS),
        help="only this row; may be repeated",
    )
    alerts_parser.add_argument(
        "--alert",
        action="append",
        default=[],
        choices=sorted(alert_names()),
        help="only the fault that causes this alert; may be repeated",
    )


@dataclass(frozen=True, slots=True)
class EndedEarly:
    """A drill that could not be run to its end and proves nothing: a process does not start, for example."""

    drill: str
    ended_by: str
    holds: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return asdict(self)


def run(options: dict[str, Any], *, out: Callable[[str], object], err: Callable[[str], object]) -> bool:
    """Run the drill, write each evidence as a line of JSON to `out` and progress to `err`; tell whether all held.

    A drill that writes by Django's settings replaces this process by one with services of its own. Raises
    CommandError where the drill needs a program that is missing.
    """
    if options["name"] not in _WITH_A_STAGE:
        own_services.replace_this_process(options)
    return run_here(options, out=out, err=err)


def run_here(options: dict[str, Any], *, out: Callable[[str], object], err: Callable[[str], object]) -> bool:
    """Run the drill in this process; what ends it early is evidence, too, unless `traceback` is asked for."""
    results: Sequence[Evidence]
    try:
        results = _run(options, log=err)
    except (PrometheusMissing, spreadsheets.LibreOfficeMissing) as error:
        raise CommandError(str(error)) from None
    except Exception as error:
        if options.get("traceback"):
            raise
        results = [EndedEarly(options["name"], describe(error))]
    for evidence in results:
        out(json.dumps(evidence.as_json()))
    return all(evidence.holds for evidence in results)


def _run(options: dict[str, Any], *, log: Callable[[str], object]) -> Sequence[Evidence]:
    drill, quick, seed = options["name"], bool(options.get("quick")), options.get("seed", 1)
    if drill == "spreadsheets":
        return list(spreadsheets.run())
    if drill == "relay":
        return [relay.run(kills=_RELAY_KILLS[not quick], seed=seed)]
    if drill == "exports":
        kills = _EXPORT_KILLS[not quick]
        return [exports.run(kills=kills, rows=_EXPORT_ROWS, menu=exports.EVERYTHING, seed=seed)]
    if drill == "imports":
        kills, rows = _IMPORT[not quick]
        return [imports.run(kills=kills, rows=rows, seed=seed)]
    if drill == "orders":
        return orders.run(orders.quick_rows() if quick else orders.rows())
    if drill == "leak":
        return leak.run(scale=leak.QUICK if quick else leak.LONG)
    if drill == "alerts":
        return alerts.run(quick=quick, log=log, alerts=options["alert"])
    if drill == "restore":
        return restores.run(quick=quick, log=log)
    return delivery.run(quick=quick, seed=seed, names=options["row"], log=log)
