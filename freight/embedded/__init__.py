"""A private PostgreSQL and Valkey for machines that have neither: started from wheels, stopped with their owner.

Imports no Django: the settings call `endpoints` while they load.
"""

from freight.embedded.control import AlreadyRunning, RunningServices, running, start
from freight.embedded.errors import EmbeddedError
from freight.embedded.layout import Endpoints, Layout, endpoints

__all__ = [
    "AlreadyRunning",
    "EmbeddedError",
    "Endpoints",
    "Layout",
    "RunningServices",
    "endpoints",
    "running",
    "start",
]
