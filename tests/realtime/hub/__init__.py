"""Tests of the hub, on the real database and Redis."""
