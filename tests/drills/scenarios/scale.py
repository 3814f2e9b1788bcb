"""How much of each fault: a short scale for the tests, a long one for the drill."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScenarioScale:
    """The numbers of the scenarios."""

    kills: int = 5
    relay_kills: int = 5
    failpoints: int = 5
    restarts: int = 2
    crossings: int = 3
    unknowns: int = 10
    down_seconds: float = 5.0
    freeze_seconds: float = 4.0
    process_freeze_seconds: float = 30.0
    # Longer than a request may take.
    database_freeze_seconds: float = 8.0
    trouble_seconds: float = 5.0
    restart_sockets: int = 100
    burst_events: int = 200
    burst_sockets: int = 60
    network_seconds: float = 2.0
    stopped_readers: tuple[int, ...] = (10,)
    dropped_sockets: int = 200
    churn_sockets: int = 60
    churn_rounds: int = 5
    revoked_sockets: int = 4
    silent_clients: int = 100  # of each kind
    silent_seconds: float = 1.0
    random_paths: int = 1000
    machine_runs: int = 4
    machine_steps: int = 80


SHORT = ScenarioScale()
LONG = ScenarioScale(
    relay_kills=50,
    failpoints=100,
    restarts=5,
    crossings=20,
    unknowns=200,
    down_seconds=60.0,
    freeze_seconds=30.0,
    process_freeze_seconds=90.0,
    database_freeze_seconds=20.0,
    trouble_seconds=30.0,
    restart_sockets=2000,
    burst_events=1000,
    burst_sockets=300,
    network_seconds=20.0,
    stopped_readers=(1, 100),
    dropped_sockets=2000,
    churn_sockets=1000,
    churn_rounds=20,
    revoked_sockets=20,
    silent_clients=2000,
    silent_seconds=75.0,
    random_paths=10_000,
    machine_runs=31,
    machine_steps=100,
)
