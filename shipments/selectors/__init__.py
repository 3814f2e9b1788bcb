"""Reads of the database: rows ready for `representation`, and for event loops the same by `async_reads`."""
