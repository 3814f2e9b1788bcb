"""Metrics, health, traces and slow queries of Freight, and the plumbing of its dependencies.

Import nothing here: the settings read parts of this app before Django is set up.
"""
