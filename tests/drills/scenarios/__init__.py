"""The delivery drill: what is committed is never missed, whatever dies.

A private stage of real processes, writers that log every operation, clients that keep a record as
docs/protocol.md tells, faults of every kind, and a checker that compares all of it with the database. The tests
run its short form, `manage.py drill delivery` the long one.
"""
