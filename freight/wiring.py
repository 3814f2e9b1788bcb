"""The one visible list that connects the rooms."""

from realtime import receivers
from shipments import signals


def connect() -> None:
    """This will connect signals and registries of the lower apps to the upper ones."""
    signals.event_committed.connect(receivers.announce, dispatch_uid="realtime.announce")
