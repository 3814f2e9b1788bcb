"""What Redis receives of the limiter, as MONITOR shows it, and what the process counted without it."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ratelimits import counters


@contextmanager
def captured_commands(redis: Any) -> Iterator[list[str]]:
    """Fill the yielded list, after the block, with the commands that came for the database of this client.

    Other tests use the same Valkey in other databases. Commands of scripts are left out: they are no round trips.
    """
    names: list[str] = []
    begin, end = f"ECHO {uuid.uuid4().hex}", f"ECHO {uuid.uuid4().hex}"
    database = redis.connection_pool.connection_kwargs.get("db", 0)
    with redis.monitor() as monitor:
        redis.execute_command(*begin.split())
        yield names
        redis.execute_command(*end.split())
        commands: list[dict[str, Any]] = []
        while not commands or commands[-1]["command"] != end:
            commands.append(monitor.next_command())
    ours = [each["command"] for each in commands[:-1] if each["db"] == database and each["client_type"] != "lua"]
    names += [command.partition(" ")[0] for command in ours[ours.index(begin) + 1 :]]


def is_any_counted_alone(policy: str, keys: Iterable[str]) -> bool:
    """Tell whether this process has counted a key for Redis: on a busy machine a reply came after its deadline."""
    alone = {name for name, *_ in counters.local_counters.busiest_keys()}
    return any(f"{policy} {key}" in alone for key in keys)
