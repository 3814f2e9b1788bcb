"""Tests of sockets, their identity and their limits."""
