"""Connects the apps: every signal and registry by which a lower app reaches a higher one, in one list."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import ratelimits.report
import ratelimits.signals
from exports import queue_report
from exports import signals as export_signals
from exports.background import missing_files, progress
from exports.documents import picture_cleaner
from monitoring import runtime
from monitoring.health import details, processes
from monitoring.prometheus import snapshots
from monitoring.reports import json_reports, performance
from realtime import report
from realtime.hub import commits, room_registry, room_types
from realtime.publishing import receivers
from shipments import intake, signals
from shipments.api.http import long_poll
from shipments.auth import subjects
from shipments.caching import report as cache_report
from shipments.domain import pictures
from shipments.selectors import gauges, limit_keys
from shipments.services.history import regressions


def connect() -> None:
    """Connect the signals and fill the registries. Called once, when all apps have loaded."""
    signals.event_committed.connect(receivers.publish_event, dispatch_uid="realtime.publish_event")
    signals.organization_event_committed.connect(
        receivers.publish_organization_event, dispatch_uid="realtime.publish_organization_event"
    )
    long_poll.register_commit_hints(commits.listen)
    signals.access_changed.connect(receivers.publish_access_change, dispatch_uid="realtime.publish_access_change")
    signals.link_revoked.connect(receivers.publish_link_revoked, dispatch_uid="realtime.publish_link_revoked")
    signals.feed_numbered.connect(receivers.publish_feed_entries, dispatch_uid="realtime.publish_feed_entries")
    signals.position_recorded.connect(receivers.publish_position, dispatch_uid="realtime.publish_position")
    ratelimits.signals.limit_changed.connect(_record_limit_change, dispatch_uid="freight.limit_change")
    pictures.register_cleaner(picture_cleaner.clean_picture)
    export_signals.progressed.connect(
        receivers.publish_export_progress, dispatch_uid="realtime.publish_export_progress"
    )
    export_signals.import_progressed.connect(
        receivers.publish_import_progress, dispatch_uid="realtime.publish_import_progress"
    )
    export_kind = room_types.export_room_type(newest=progress.EXPORTS.newest, owned=progress.EXPORTS.owned)
    import_kind = room_types.import_room_type(newest=progress.IMPORTS.newest, owned=progress.IMPORTS.owned)
    for kind in (*room_types.ROOM_TYPES, export_kind, import_kind):
        room_registry.register(kind)
    snapshots.register_status("performance", performance.process_status)
    snapshots.register_status("websocket", report.process_part)
    json_reports.register("performance", performance.report)
    json_reports.register("websocket", report.report)
    json_reports.register("cache", cache_report.cache_report)
    json_reports.register("exports", queue_report.report)
    json_reports.register(
        "ratelimit",
        partial(ratelimits.report.report, host_decisions=_decisions_of_host),
        for_staff=partial(ratelimits.report.staff_report, host_decisions=_decisions_of_host),
    )
    ratelimits.report.register_owner_names(limit_keys.owners)
    snapshots.register_status("health", details.own_health)
    snapshots.register_status("pool", runtime.pool_status)
    runtime.sample_every_second(report.update_gauges)
    runtime.sample_every_second(processes.watch.update)
    runtime.measure_once_per_host(regressions.try_check, interval=1)
    runtime.measure_once_per_host(gauges.sample_relay_lag, interval=2)
    runtime.measure_once_per_host(gauges.sample_states, interval=15)
    runtime.measure_once_per_host(queue_report.sample, interval=5)
    runtime.measure_once_per_host(missing_files.sample, interval=10)


def _decisions_of_host() -> dict[tuple[str, str], float]:
    """Return the decisions of all processes of this host, counted by (policy, decision)."""
    decisions: dict[tuple[str, str], float] = {}
    for (name, labels), value in json_reports.host_samples().samples.items():
        if name == "ratelimit_decisions_total":
            values_by_label = dict(labels)
            decisions[values_by_label["policy"], values_by_label["decision"]] = value
    return decisions


def _record_limit_change(
    *,
    by: subjects.Subject | None,
    now: datetime,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    **_: object,
) -> None:
    """Write a change of the installation's limits to the audit, in the sender's transaction."""
    intake.record_audit(
        by=by or subjects.installation_subject(name="manage.py limits"),
        now=now,
        action="limit_change",
        entity="rate_limit",
        entity_id=name[:64],
        before=before,
        after=after,
        outcome="done",
    )
