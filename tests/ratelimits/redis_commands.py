"""What is asked of Redis, as Redis itself saw it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def captured_commands(redis: Any) -> Iterator[list[str]]:
    """Name, after the block, the commands that came meanwhile for the database of this client.

    Others use the same Valkey, each in a database of its own; what a script calls costs no way.
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
