"""Slow queries."""
