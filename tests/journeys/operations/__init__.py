"""Journeys of operators: start, stop, metrics, alerts, traces and nginx."""
