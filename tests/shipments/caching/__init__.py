"""Tests of shipments.caching."""
