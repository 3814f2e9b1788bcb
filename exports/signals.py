"""What exports tell whoever listens; receivers live in the upper rooms and are connected by freight.wiring."""

from django.dispatch import Signal

# Sent when a background export has gone on or changed its state, with `export_id`, `state`, `done`, `total` (None
# before it is counted), `organization_id` and `owner` (the user's id). A receiver must return at once.
progressed = Signal()
