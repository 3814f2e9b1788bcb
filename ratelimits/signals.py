"""What the limits tell whoever listens; receivers live in the upper rooms and are connected by freight.wiring."""

from django.dispatch import Signal

# Sent in the transaction that changes a limit, with `by` (whatever the caller gave for who did it), `now`, `name`
# (the policy, or policy and key), and the numbers `before` and `after`.
limit_changed = Signal()
