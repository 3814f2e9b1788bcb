"""Finished exports whose files are not on this host: another one wrote them, and EXPORT_DIR is not shared."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from exports import metrics
from exports.background import file_store
from exports.models import Export
from monitoring import clock
from monitoring.prometheus import registrations
from monitoring.reports import json_reports

_NEWEST: Final = 20
# A network disk may show a new file late.
_SETTLE_TIME: Final = timedelta(seconds=60)
# Those that write files or serve them; a host without one needs no EXPORT_DIR.
_ROLES: Final = frozenset({"api", "all", "relay"})
_State: Final = Export.State


def sample() -> None:
    """Set the gauge of this host."""
    needs_files = any(each.role in _ROLES for each in registrations.living())
    metrics.missing_files.set(count() if needs_files else 0)


def count() -> int:
    """Return how many of the newest finished exports have no file here."""
    settled = Export.objects.filter(state=_State.SUCCEEDED, finished_at__lt=clock.now() - _SETTLE_TIME)
    names = settled.order_by("-finished_at").values_list("file", flat=True)[:_NEWEST]
    missing = [name for name in names if not file_store.path_of(name).is_file()]
    # Those that expired meanwhile were removed.
    return Export.objects.filter(state=_State.SUCCEEDED, file__in=missing).count() if missing else 0


def health() -> Mapping[str, Any]:
    """Return the files' part of the detailed health check, from the gauge of this host."""
    missing = int(json_reports.host_samples().total("export_files_missing"))
    if not missing:
        return {"status": "ok", "missing": 0}
    return {"status": "warning", "reason": describe(missing), "missing": missing}


def describe(missing: int) -> str:
    """Return the sentence for operators."""
    return (
        f"{missing} of the newest {_NEWEST} finished exports have no file in EXPORT_DIR of this host:"
        " all hosts with an api process or a relay must share that folder"
    )
