"""Signals of background jobs; `freight.wiring` connects the receivers of other apps."""

from django.dispatch import Signal

# An export's progress or state changed. Carries `export_id`, `value` (the payload of its WebSocket room) and
# `version` (higher is newer). Sent after the commit, twice a second while a file is written: receivers must not
# block.
progressed = Signal()
# The same for an import, with `import_id`; sent after each committed chunk.
import_progressed = Signal()
