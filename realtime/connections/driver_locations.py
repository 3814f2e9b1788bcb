"""The client frame `driver:location`, by which a driver reports its position, with the checks of REST."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError

from monitoring import clock
from monitoring.dependencies.threads import run_in_thread
from monitoring.health import outages
from realtime.protocol import frames
from realtime.protocol.frames import InvalidFrame
from shipments import intake
from shipments.auth.subjects import Subject
from shipments.parsing import values

log = structlog.get_logger(__name__)
_NUMBERS: Final = ("latitude", "longitude", "accuracy", "speed", "bearing")
_REQUIRED: Final = frozenset({"latitude", "longitude"})
# Threads of their own: handshakes must not wait for these transactions.
_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="socket-position")


async def record(subject: Subject, frame: Mapping[str, Any], echo: object) -> bytes | None:
    """Record the position and return None, or the error frame to send; raise InvalidFrame for a malformed one."""
    position = _parse(frame)
    try:
        await run_in_thread(_threads, partial(intake.record_position, by=subject, now=clock.now(), **position))
    except intake.InvalidArgument as error:
        return frames.error(code="bad_request", message=f"{error.field}: {error}", echo=echo)
    except (intake.Forbidden, intake.DriverNotFound):
        return frames.error(code="forbidden", message="Only drivers report their own position.", echo=echo)
    except (OperationalError, InterfaceError, intake.OutcomeUnknown) as error:
        log.warning("position not recorded", error=type(error).__name__)
        return frames.error(code="unavailable", message=outages.explain(error).detail, echo=echo)
    return None


def _parse(frame: Mapping[str, Any]) -> dict[str, Any]:
    position: dict[str, Any] = {}
    for name in _NUMBERS:
        value = frame.get(name)
        if value is None and name not in _REQUIRED:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidFrame(f'"{name}" is a number.')
        position[name] = float(value) if abs(value) < 1e300 else float("inf")
    recorded_at = frame.get("recordedAt")
    if recorded_at is not None:
        try:
            position["recorded_at"] = values.instant(recorded_at if isinstance(recorded_at, str) else "")
        except values.InvalidValue as error:
            raise InvalidFrame(f'"recordedAt": {error}') from error
    return position
