"""What exports tell whoever listens; receivers live in the upper rooms and are connected by freight.wiring."""

from django.dispatch import Signal

# Sent when a background export has gone on or changed its state, with `export_id`, `value` (as its room tells it)
# and `version` (a later one is newer). A receiver must return at once.
progressed = Signal()
# The same of an import, with `import_id`.
import_progressed = Signal()
