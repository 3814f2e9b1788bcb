"""The one visible list that connects the rooms."""

from monitoring import runtime
from realtime import kinds, receivers, rooms
from shipments import signals
from shipments.selectors import measured


def connect() -> None:
    """This will connect signals and registries of the lower apps to the upper ones."""
    signals.event_committed.connect(receivers.announce, dispatch_uid="realtime.announce")
    signals.feed_numbered.connect(receivers.announce_feed, dispatch_uid="realtime.announce_feed")
    for kind in kinds.KINDS:
        rooms.register(kind)
    runtime.once_a_host(measured.relay_lag, every=2)
    runtime.once_a_host(measured.states, every=15)
