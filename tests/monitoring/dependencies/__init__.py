"""Deadlines, breakers, batching and probes, on the real PostgreSQL and Redis."""
