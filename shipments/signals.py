"""What shipments tells whoever listens; receivers live in the upper rooms and are connected by freight.wiring."""

from django.dispatch import Signal

# Sent once per committed event, after COMMIT, with `organization_id`, `shipment_id`, `event` (its JSON
# shape) and `shipment` (the summary that goes with it). A receiver must return at once and never raise.
event_committed = Signal()

# Sent after COMMIT when who may see what has changed, with `user_id`.
access_changed = Signal()

# Sent by the sequencer after COMMIT, with `organization_id` and the newest `position` of its feed.
feed_numbered = Signal()

# Sent after COMMIT when a driver's newest position is another one, with `organization_id`, `driver_id`,
# `position` (`{driverId, latitude, longitude, recordedAt}`) and `version`, the microsecond of it.
position_recorded = Signal()

# Sent after COMMIT when a tracking link was revoked, with `organization_id` and `link_id`.
link_revoked = Signal()
