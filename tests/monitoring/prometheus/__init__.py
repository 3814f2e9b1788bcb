"""Metrics over several processes and hosts, and the alert rules."""
