"""What every call to PostgreSQL and Redis shares: deadlines, circuit breakers, batching, and the probes of health.

Import nothing here: the settings read `deadlines` before Django is set up and before any metric is declared.
"""
