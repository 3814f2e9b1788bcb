"""Runbook sections as timed experiments: each injects its faults and prints the evidence."""
