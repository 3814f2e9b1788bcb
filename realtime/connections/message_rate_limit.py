"""The rate limit of the messages of one socket."""

from enum import Enum
from typing import Final

from ratelimits import limiter, policies
from shipments.auth.subjects import Subject

# A burst may have as many messages as this many windows of the policy.
_BURST_WINDOWS: Final = 2


class RateDecision(Enum):
    """The decision on one message."""

    SERVE = "serve"
    REFUSE = "refuse"
    CLOSE = "close"


class MessageTokenBucket:
    """A token bucket by the policy `ws_message`: by default 20 messages a second, 40 at once.

    A message beyond that is refused and counts too; another burst beyond it closes the socket.
    """

    __slots__ = ("_at", "_spent")

    def __init__(self, now: float) -> None:
        self._spent = 0.0
        self._at = now

    def check(self, subject: Subject | None, *, now: float) -> RateDecision:
        """Count one message, at `now` of a monotonic clock in seconds; `subject` is None before authentication."""
        policy = policies.for_key("ws_message", subject.limit_key) if subject else policies.get("ws_message")
        if policy is None or limiter.is_exempt(subject):
            return RateDecision.SERVE
        burst = policy.most * _BURST_WINDOWS
        self._spent = max(0.0, self._spent - (now - self._at) * policy.most / policy.window) + 1
        self._at = now
        if self._spent <= burst:
            return RateDecision.SERVE
        return RateDecision.REFUSE if self._spent < 2 * burst else RateDecision.CLOSE
