"""Histories of the database: a new generation after a restore."""
