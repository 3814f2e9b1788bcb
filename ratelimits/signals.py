"""The signals of the rate limits; the receivers are in upper apps, connected by freight.wiring."""

from django.dispatch import Signal

# Sent inside the transaction that changes a limit, with `by` (what the caller passed for who changed it), `now`,
# `name` (the policy, or policy and key), and the numbers `before` and `after` as mappings or None.
limit_changed = Signal()
