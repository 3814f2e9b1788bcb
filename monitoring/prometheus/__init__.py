"""Metrics of all processes of a host, their sums over hosts, and the page that Prometheus scrapes.

Import nothing here: the settings install `multiprocess` before any metric is declared.
"""
