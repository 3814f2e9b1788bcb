"""Signals of shipments. Receivers are in upper apps, connected by freight.wiring. They must return at once."""

from django.dispatch import Signal

# Sent once for each committed event of a shipment, after COMMIT, with `organization_id`, `shipment_id`, `event`
# (JSON of `representation.event`) and `shipment` (JSON of `representation.summary`).
event_committed = Signal()

# Sent after COMMIT for each event of an organisation that belongs to no shipment, with `organization_id`.
organization_event_committed = Signal()

# Sent after COMMIT when what a user may see has changed, or one of its credentials has ended, with `user_id`.
access_changed = Signal()

# Sent by the sequencer after COMMIT, with `organization_id`, the newest `position` of its feed and the newest one
# before (`after`). None of the entries between was committed before `committed_after`, in seconds since 1970;
# `entries` has their JSON (`representation.feed_entry`) in order, or is empty where they are many.
feed_numbered = Signal()

# Sent after COMMIT when a driver has a newer position, with `organization_id`, `driver_id`,
# `position` (JSON of `representation.driver_position`) and `version` (`representation.microseconds`).
position_recorded = Signal()

# Sent after COMMIT when a tracking link was revoked, with `organization_id` and `link_id`.
link_revoked = Signal()
