"""The declared limits: so many requests (or failures) in a window, under a name."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `most` in `window` seconds."""

    name: str
    most: int
    window: int


def get(name: str) -> Policy:
    """This will return the policy as it stands now; raises KeyError for a name that nobody declared."""
    most, window = settings.RATE_LIMITS[name]
    return Policy(name, most, window)
