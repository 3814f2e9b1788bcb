"""The scenarios of the delivery drill: what is committed is never missed, whatever dies.

Real processes on a private stage, writers that log every operation, subscribers that follow docs/protocol.md and
keep records, faults of every kind, and a checker that compares all of it with the database. The tests run the short
form, `manage.py drill delivery` the long one.
"""
