"""The rate limit policies and their environment variables."""

from freight.settings import environment

_POLICIES = {
    # name: (requests, window, requests in the demo)
    "general": (100, "15m", 100_000),
    # A phone that was without a network for a day sends a fix for every ten seconds of it: 8,640.
    "positions": (10_000, "15m", 100_000),
    "ai": (20, "1m", 20),
    "billing": (30, "15m", 30),
    "auth": (5, "15m", 5),
    "export": (30, "1m", 30),
    # Handshakes, and the messages of one WebSocket.
    "ws_connect": (60, "1m", 10_000),
    "ws_message": (20, "1s", 20),
}


def from_environment(*, demo: bool) -> dict[str, tuple[int, int]]:
    """Return (requests, window in seconds) of every policy, by name."""
    return {
        name: (
            environment.integer(
                f"RATE_LIMIT_{name.upper()}_MAX",
                in_demo if demo else most,
                low=1,
                purpose=f"The most requests of the policy `{name}` in one window.",
            ),
            environment.duration(
                f"RATE_LIMIT_{name.upper()}_WINDOW", window, purpose=f"The window of the policy `{name}`."
            ),
        )
        for name, (most, window, in_demo) in _POLICIES.items()
    }


def user_factor() -> int:
    """Return how many times the limit of one API key all keys of a user have together."""
    return environment.integer(
        "RATE_LIMIT_USER_FACTOR",
        5,
        low=1,
        purpose="How many times the limit of one API key all keys of a user have together.",
    )


def overridden_policies() -> frozenset[str]:
    """Return the names of the policies for which a variable is set."""
    return frozenset(
        name
        for name in _POLICIES
        if environment.is_set(f"RATE_LIMIT_{name.upper()}_MAX", f"RATE_LIMIT_{name.upper()}_WINDOW")
    )
