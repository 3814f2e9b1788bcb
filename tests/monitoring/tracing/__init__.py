"""Trace Context and spans."""
