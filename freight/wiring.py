"""The one visible list that connects the rooms."""

from realtime import kinds, receivers, rooms
from shipments import signals


def connect() -> None:
    """This will connect signals and registries of the lower apps to the upper ones."""
    signals.event_committed.connect(receivers.announce, dispatch_uid="realtime.announce")
    signals.feed_numbered.connect(receivers.announce_feed, dispatch_uid="realtime.announce_feed")
    for kind in kinds.KINDS:
        rooms.register(kind)
