"""Journeys over sockets and event streams, through the running product."""
