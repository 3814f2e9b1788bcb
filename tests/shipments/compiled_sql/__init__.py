"""Tests of shipments.compiled_sql: compiled SQL answers as the ORM does."""
