"""How many processes there are, and how many there should be."""

import re
from collections.abc import Mapping

from freight.settings import environment

_PART = re.compile(r"(api|ws|relay)=(\d{1,3})")
EXPECTED_HINT = "give roles (api, ws, relay) and numbers, for example api=2,ws=2,relay=1."


def counts_from_environment() -> dict[str, int]:
    """Return how many servers of each role `make run` starts."""
    api = environment.integer(
        "API_PROCESSES", 1, low=1, high=64, purpose="Server processes for REST, pages and the admin."
    )
    ws = environment.integer(
        "WS_PROCESSES", 2, low=1, high=64, purpose="Server processes for WebSockets and event streams."
    )
    return {"api": api, "ws": ws}


def expected_from_environment() -> Mapping[str, int]:
    """Return how many processes of each role should run on all hosts together; empty where nobody said."""
    return environment.read(
        "EXPECTED_PROCESSES",
        {},
        _parse_expected,
        hint=EXPECTED_HINT,
        purpose="Processes that should run on all hosts together, for example `api=2,ws=2,relay=1`.",
    )


def _parse_expected(raw: str) -> dict[str, int]:
    parts = [_PART.fullmatch(part.strip()) for part in raw.split(",")]
    if not all(parts):
        raise ValueError(raw)
    return {part[1]: int(part[2]) for part in parts if part}
