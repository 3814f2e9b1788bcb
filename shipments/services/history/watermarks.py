"""Watermarks: the newest events that were known of an epoch, kept in Redis, in a file of this host and in memory.

Events are never removed, so a database of this epoch that lacks one of them went back. Each of the three may be
missing (FLUSHALL, another host, a first start) or unable to store. All are keyed by the epoch: another database on
this host has another one. A stored watermark is only replaced by one with a newer event, whoever writes first.
"""

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from monitoring.dependencies import deadlines
from monitoring.dependencies.breaker import redis_breaker

_log = structlog.get_logger(__name__)
_UUID_LENGTH: Final = 36
_REDIS_SECONDS: Final = 90 * 24 * 3600
# Ids are ordered by time: the first one is the newest.
_RAISE_SCRIPT: Final = """
local stored = redis.call('GET', KEYS[1])
if stored and string.sub(stored, 1, 36) >= string.sub(ARGV[1], 1, 36) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
_memory: dict[str, list[str]] = {}


def load(epoch: str) -> set[str]:
    """Return the ids of the events that were known of an epoch, empty where nothing was."""
    stored = (_memory.get(epoch, []), _parse(_read_file(epoch)), _parse(_call_redis(_get, epoch)))
    return {event for events in stored for event in events}


def advance(epoch: str, events: list[str]) -> None:
    """Store the newest events of an epoch, newest first, wherever an older watermark or none is stored.

    The caller has verified that the database has every event of `load`.
    """
    if not events or _memory.get(epoch, [""])[0] >= events[0]:
        return
    _memory[epoch] = events
    text = ",".join(events)
    _write_file(epoch, text)
    _call_redis(_set, epoch, text)


def _parse(text: str) -> list[str]:
    return [each for each in text.split(",") if len(each) == _UUID_LENGTH]


# -- the file of this host ------------------------------------------------------------------------------------


def _path(epoch: str) -> Path:
    return Path(settings.FREIGHT_HOME) / "history" / epoch


def _read_file(epoch: str) -> str:
    with suppress(OSError, ValueError):
        return _path(epoch).read_text()
    return ""


def _write_file(epoch: str, text: str) -> None:
    path = _path(epoch)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _read_file(epoch)[:_UUID_LENGTH] < text[:_UUID_LENGTH]:
                temporary = path.with_suffix(".new")
                temporary.write_text(text)
                temporary.replace(path)
    except OSError as error:
        _log.info("watermark not written", path=str(path), error=repr(error))


# -- Redis ----------------------------------------------------------------------------------------------------


def _call_redis(command: Any, *arguments: str) -> str:
    """Return the text that a command returns, empty where Redis does not answer."""
    if not redis_breaker.allows_call():
        return ""
    try:
        with deadlines.redis_deadline():
            value = command(get_redis_connection("default"), *arguments)
    except (RedisError, OSError) as error:
        redis_breaker.record_failure(error)
        return ""
    redis_breaker.record_success()
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _key(epoch: str) -> str:
    return f"{settings.CACHES['default']['KEY_PREFIX']}:history:{epoch}"


def _get(redis: Any, epoch: str) -> Any:
    return redis.get(_key(epoch))


def _set(redis: Any, epoch: str, text: str) -> None:
    redis.eval(_RAISE_SCRIPT, 1, _key(epoch), text, _REDIS_SECONDS)
