"""Tests of shipments.auth."""
