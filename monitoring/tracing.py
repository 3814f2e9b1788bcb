"""Which trace something is done for: W3C Trace Context, taken from the caller, written into logs, passed on.

Ids cost next to nothing and are always there. Spans are recorded only where a collector is named, by
`monitoring.spans`, which is not even imported elsewhere: see docs/decisions/0032.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

# Version 00 is exactly this long; a later version may say more, which does not concern us.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_LONGEST: Final = 256
_LONGEST_STATE: Final = 512
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace, and that part of it which goes on now."""

    trace_id: str
    span_id: str
    sampled: bool = False
    state: str = ""

    @property
    def parent(self) -> str:
        """The `traceparent` for whoever does a part of this."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


class Recorder(Protocol):
    """Who records spans."""

    def serving(self, name: str, came: Trace | None) -> AbstractContextManager[Trace]: ...
    def part(self, name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[None]: ...
    def describe(self, name: str, attributes: Mapping[str, Any], *, failed: bool) -> None: ...
    def query(self, sql: object, seconds: float) -> None: ...
    def passed(self, name: str, came: Trace, since: float) -> None: ...


_current: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)
_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """This will record spans from now on, or no longer."""
    global _recorder
    _recorder = recorder


def parse(traceparent: str, tracestate: str = "") -> Trace | None:
    """This will return what a `traceparent` says, None where it is missing or malformed."""
    found = _TRACEPARENT.fullmatch(traceparent) if len(traceparent) <= _LONGEST else None
    if found is None or (found[1] == "00" and found[5]):
        return None
    state = tracestate if len(tracestate) <= _LONGEST_STATE and tracestate.isprintable() else ""
    return Trace(found[2], found[3], bool(int(found[4], 16) & _SAMPLED), state)


@contextmanager
def serving(name: str, traceparent: str, tracestate: str = "") -> Iterator[Trace]:
    """This will let what is done within belong to the caller's trace, or to a new one where it came with none."""
    came = parse(traceparent, tracestate) if traceparent else None
    recording = nullcontext(_continued(came)) if _recorder is None else _recorder.serving(name, came)
    with recording as trace:
        token = _current.set(trace)
        try:
            yield trace
        finally:
            _current.reset(token)


def _continued(came: Trace | None) -> Trace:
    fresh = os.urandom(24).hex()
    if came is None:
        return Trace(fresh[:32], fresh[32:])
    return Trace(came.trace_id, fresh[32:], came.sampled, came.state)


def part(name: str, **attributes: Any) -> AbstractContextManager[None]:
    """This will record what is done within as a part of the present trace."""
    return _NOTHING if _recorder is None else _recorder.part(name, attributes)


def describe(name: str, attributes: Mapping[str, Any], *, failed: bool = False) -> None:
    """This will say of what is being served what is known only at its end."""
    if _recorder is not None:
        _recorder.describe(name, attributes, failed=failed)


def query(sql: object, seconds: float) -> None:
    """This will record a query that has just ended, where it was a part of something."""
    if _recorder is not None:
        _recorder.query(sql, seconds)


def outgoing() -> str | None:
    """This will return the `traceparent` for a message to another process; None where nobody would record it."""
    trace = _current.get()
    return trace.parent if trace is not None and trace.sampled and _recorder is not None else None


def passed(name: str, traceparent: str | None, *, since: float) -> None:
    """This will record that something which was sent at a time (seconds since 1970) has arrived."""
    if traceparent is not None and _recorder is not None and (came := parse(traceparent)) is not None:
        _recorder.passed(name, came, since)


_NOTHING: Final = nullcontext()
